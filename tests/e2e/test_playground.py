"""The playground in Debian's Chromium, against a real gateway and the emulator.

Risk: its request is not one of a client, so that nobody is charged; its key can be read afterwards; the answer appears
only when it is complete, or goes on after *Stop*.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from support.dashboard_gateway import DESKTOP, MODEL, PHONE, DashboardGateway, Visitor
from support.processes import Process
from support.workers import until

APIS = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}
PATH = "/dashboard/playground"


@pytest.fixture(scope="module")
def vertex(browser: Any, emulate: Callable[..., Process]) -> Process:
    """At the pace of a model."""
    return emulate("--tokens-per-second", "40")


@pytest.fixture(scope="module")
def gateway(browser: Any, tmp_path_factory: pytest.TempPathFactory, vertex: Process) -> Iterator[DashboardGateway]:
    one = DashboardGateway(tmp_path_factory.mktemp("gateway"), vertex.url)
    yield one
    one.process.stop()


@pytest.fixture
def visit(visit: Callable[..., Visitor]) -> Callable[..., Visitor]:
    """Opens the page as the owner."""

    def start(**options: Any) -> Visitor:
        visitor = visit(**options)
        visitor.page.locator("nav").get_by_role("link", name="Playground").click()
        visitor.page.get_by_role("heading", name="Playground", level=1).wait_for()
        visitor.page.locator("[name=model]").select_option(MODEL)
        return visitor

    return start


def new_key(gateway: DashboardGateway, **fields: Any) -> dict[str, Any]:
    number = len(gateway.api("GET", "/keys?limit=100")["data"])
    key: dict[str, Any] = gateway.api("POST", "/keys", {"name": f"key {number}"} | fields)
    return key


def rows(gateway: DashboardGateway, key: str) -> list[Any]:
    found: list[Any] = gateway.api("GET", f"/requests?key={key}")["data"]
    return found


def upstream(vertex: Process) -> list[Any]:
    entries: list[Any] = httpx2.get(f"{vertex.url}/_emulator/requests").json()["requests"]
    return entries


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_answer_is_read_and_its_request_is_charged_like_any(
    gateway: DashboardGateway, visit: Callable[..., Visitor], vertex: Process, api: str, viewport: dict[str, int]
) -> None:
    visitor, key = visit(viewport=viewport), new_key(gateway)
    page = visitor.page
    page.locator("[name=api]").select_option(api)
    page.locator("[name=key]").fill(key["secret"])
    page.locator("[name=system]").fill("Be brief.")
    page.locator("[name=message]").fill("say exactly: Grüße <b>from</b> here")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("charged to").wait_for()
    assert page.locator("#part-text").inner_text() == "Grüße <b>from</b> here"
    (row,) = rows(gateway, key["id"])
    assert row["dialect"] == APIS[api]
    assert row["stream"]
    assert row["agent"].startswith("modelmux-playground")
    tokens = page.locator("#part-end").inner_text()
    assert f"{row['tokens']['output']}" in tokens
    assert json.loads(page.get_by_label("translated body for").inner_text()) == upstream(vertex)[-1]["body"]
    curl = page.locator("#part-sent pre", has_text="curl -N").text_content()
    assert "$MODELMUX_KEY" in curl
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert key["secret"] not in page.content()
    assert key["secret"] not in page.url
    page.get_by_role("link", name="This request").click()
    page.get_by_role("heading", name=row["id"]).wait_for()
    assert key["secret"] not in gateway.process.output()
    assert page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0


def test_an_answer_appears_while_it_is_written_and_stops(
    gateway: DashboardGateway, visit: Callable[..., Visitor], vertex: Process
) -> None:
    visitor, key = visit(), new_key(gateway)
    page = visitor.page
    page.locator("[name=key]").fill(key["secret"])
    page.locator("[name=message]").fill("say exactly: " + "word " * 2_000)
    page.locator("[name=max_tokens]").fill("8000")
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator("#part-text", has_text="word word").wait_for()
    assert upstream(vertex)[-1]["outcome"] == "running", "the model still writes"
    page.get_by_role("button", name="Stop").press("Enter")
    page.get_by_text("Stopped: the request has ended.").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Send", "the focus is not lost with the button"
    until(lambda: upstream(vertex)[-1]["outcome"] == "client_gone")
    until(lambda: [row["outcome"] for row in rows(gateway, key["id"])] == ["client_gone"])
    page.locator("[name=message]").fill("say exactly: again")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("charged to").wait_for()
    assert page.locator("#part-text").inner_text() == "again"
    assert page.get_by_role("button", name="Stop").count() == 0, "nothing runs"


@pytest.mark.parametrize("fault", ["status=529", "error_after_event=4"])
def test_a_failure_is_not_said_to_be_an_answer(
    gateway: DashboardGateway, visit: Callable[..., Visitor], fault: str
) -> None:
    page = visit().page
    page.locator("[name=api]").select_option("messages")
    page.locator("[name=key]").fill(new_key(gateway)["secret"])
    page.locator("[name=message]").fill(f"[[emulator: {fault}]] Tell me more")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("alert").get_by_text("Overloaded").wait_for()
    page.get_by_text("charged to").wait_for()
    assert page.get_by_role("status").inner_text() == "The request has failed."


def test_what_would_be_sent_is_shown_and_not_sent(
    gateway: DashboardGateway, visit: Callable[..., Visitor], vertex: Process
) -> None:
    page, before = visit().page, len(upstream(vertex))
    page.locator("[name=message]").fill("Hello")
    page.locator("[name=model]").select_option("claude-opus-4-8")
    assert page.locator("[name=temperature]").is_disabled(), "this model takes none"
    page.get_by_role("button", name="Show what would be sent").click()
    page.get_by_text("What Vertex AI gets").wait_for()
    assert '"Hello"' in page.get_by_label("translated body for").inner_text()
    assert page.locator("#answer").is_hidden()
    assert len(upstream(vertex)) == before


def test_a_refusal_is_shown_as_a_client_sees_it(gateway: DashboardGateway, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    page.locator("[name=message]").fill("Hello")
    for key, expected in (
        ("sk-mmx-wrong", "401"), (new_key(gateway, models=["claude-opus-4-8"])["secret"], "403"), ("", "401"),
    ):  # fmt: skip
        page.locator("[name=key]").fill(key)
        page.get_by_role("button", name="Send", exact=True).click()
        page.get_by_role("alert").get_by_text(expected).wait_for()
    key = new_key(gateway)
    gateway.api("POST", "/budgets", {"applies_to": {"key": key["id"]}, "limit": "0.00001"})
    page.locator("[name=key]").fill(key["secret"])
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("alert").get_by_text("budget").wait_for()
    page.locator("[name=temperature]").fill("warm")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("alert").get_by_text("temperature: 'warm'").wait_for()
    visitor.problems = [one for one in visitor.problems if "a status of 400" not in one]


def test_without_scripts_the_form_answers_with_the_page(
    gateway: DashboardGateway, visit: Callable[..., Visitor]
) -> None:
    page, key = visit(java_script_enabled=False).page, new_key(gateway)
    page.locator("[name=key]").fill(key["secret"])
    page.locator("[name=message]").fill("say exactly: <i>plain</i>")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("link", name="This request").wait_for()
    assert page.locator("#part-text").inner_text() == "<i>plain</i>"
    assert page.get_by_role("button", name=re.compile("Stop|Copy")).count() == 0, "they need a script"
    assert page.locator("[name=message]").input_value() == "say exactly: <i>plain</i>"
    assert page.locator("[name=key]").input_value() == ""
    assert key["secret"] not in page.content()
    assert page.url == gateway.url + PATH
    page.locator("[name=key]").fill("sk-mmx-wrong")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("alert").get_by_text("401").wait_for()


def test_a_static_key_works_and_its_row_is_linked(gateway: DashboardGateway, visit: Callable[..., Visitor]) -> None:
    page = visit().page
    page.locator("[name=key]").fill("sk-of-the-operator")
    page.locator("[name=message]").fill("say exactly: static")
    page.locator("[name=message]").press("Control+Enter")
    page.get_by_text("charged to").wait_for()
    assert page.locator("#part-text").inner_text() == "static"
