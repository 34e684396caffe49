"""The dashboard in Debian's Chromium, against a real gateway and the emulator.

Risk: a page breaks under its own content security policy, or cannot be used on a phone, by keyboard or without scripts;
a key that is made there does not work.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AuthenticationError, OpenAI

from support.dashboard_gateway import DESKTOP, MODEL, PHONE, TOKEN, DashboardGateway, Visitor
from support.processes import Process, free_port
from support.workers import until

NASTY = '"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def gateway(
    browser: Any, tmp_path_factory: pytest.TempPathFactory, emulate: Callable[..., Process]
) -> Iterator[DashboardGateway]:
    one = DashboardGateway(tmp_path_factory.mktemp("gateway"), emulate().url)
    yield one
    one.process.stop()


@pytest.fixture
def visit(open_window: Callable[..., Visitor]) -> Callable[..., Visitor]:
    """Opens windows that are not signed in."""
    return open_window


def requests_of(gateway: DashboardGateway, key: str) -> list[Any]:
    rows: list[Any] = gateway.api("GET", f"/requests?key={key}")["data"]
    return rows


@pytest.fixture(scope="module")
def pages(gateway: DashboardGateway) -> list[str]:
    """Every page, with records on it."""
    team = gateway.api("POST", "/teams", {"name": NASTY})["id"]
    key = gateway.api("POST", "/keys", {"name": f"key {NASTY}", "team": team, "tags": {"app": "chat"}, "capture": True})
    budget = gateway.api("POST", "/budgets", {"applies_to": {"team": team}, "limit": "5", "name": NASTY})["id"]
    gateway.api("POST", f"/budgets/{budget}/top-up", {"amount": "1", "reason": NASTY})
    assert gateway.ask(key["secret"], f"say exactly: {NASTY}</pre><script>alert(2)</script>").status_code == 200
    assert gateway.ask(key["secret"], model=NASTY).status_code == 404
    until(lambda: len(requests_of(gateway, key["id"])) == 2)
    request, answered = (one["id"] for one in requests_of(gateway, key["id"]))
    until(lambda: gateway.api("GET", f"/requests/{answered}/trace")["bodies"] == "kept")
    names = ["", "/requests", f"/requests/{request}", "/keys", f"/keys/{key['id']}", "/budgets", f"/budgets/{budget}"]
    names += [f"/requests/{answered}", f"/requests/{answered}/bodies"]
    costs = ["/costs", "/costs?by=key&bucket=1mo", "/costs?by=person&bucket=1h", "/costs?start=soon", "/models"]
    costs += ["/settings", "/settings/people", "/settings/audit"]
    others = ["/live", "/live/live_1_5eed5eed_1", "/playground", "/session", "/nothing"]
    return [f"/dashboard{name}" for name in [*names, *costs, *others]]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_key_is_created_used_rotated_and_revoked(
    gateway: DashboardGateway, visit: Callable[..., Visitor], viewport: dict[str, int]
) -> None:
    visitor, name = visit(viewport=viewport), f"laptop-{viewport['width']}"
    link = gateway.modelmux("dashboard")
    visitor.sign_in(link)
    page = visitor.page
    page.get_by_role("link", name="Keys", exact=True).click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Budget in USD").fill("5")
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name=f"Key created: {name}").wait_for()
    secret = page.get_by_label("secret", exact=True).inner_text()
    example = page.get_by_label("example for the OpenAI SDK", exact=True).inner_text()
    (url,) = re.findall(r'base_url="([^"]*)"', example)
    assert url == f"{gateway.gateway_url}/v1"
    client = OpenAI(base_url=url, api_key=secret, max_retries=0)
    assert client.responses.create(model=MODEL, input="say exactly: seen").output_text == "seen"
    page.get_by_role("link", name="I have stored it").click()
    page.get_by_role("heading", name=name, level=1).wait_for()
    assert secret not in page.content()
    key = page.url.rpartition("/")[2]
    until(lambda: len(requests_of(gateway, key)) == 1)
    page.get_by_role("link", name="Requests of this key").click()
    page.get_by_role("cell", name=name).wait_for()
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="Attempts").wait_for()
    assert "anthropic" in page.content() or "openai" in page.content()

    visitor.go(f"/dashboard/keys/{key}")
    page.get_by_label("The old secret stays valid for").select_option("0")
    page.get_by_role("button", name="Rotate").click()
    page.get_by_role("heading", name=f"Key rotated: {name}").wait_for()
    rotated = page.get_by_label("secret", exact=True).inner_text()
    assert rotated != secret
    assert gateway.ask(secret).status_code == 401
    assert gateway.ask(rotated).status_code == 200
    page.get_by_role("link", name="I have stored it").click()
    page.get_by_label("End it for good").check()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("revoked").first.wait_for()
    with pytest.raises(AuthenticationError):
        OpenAI(base_url=url, api_key=rotated, max_retries=0).responses.create(model=MODEL, input="Hi")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Signed out").wait_for()
    tokens = [secret, rotated, link.rpartition("=")[2], *(one["value"] for one in visitor.context.cookies())]
    assert len(tokens) == 3, "signing out took the cookie away"
    output = gateway.process.output()
    assert not [one for one in tokens if one in output]


def test_the_answer_to_a_form_is_loaded_again_without_sending_the_form(
    gateway: DashboardGateway, visit: Callable[..., Visitor]
) -> None:
    visitor = visit()
    page = visitor.page
    visitor.sign_in(gateway.modelmux("dashboard"))
    visitor.go("/dashboard/keys")
    page.get_by_label("Name").fill("again")
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name="Key created: again").wait_for()
    page.reload()
    page.get_by_role("heading", name="Keys", level=1).wait_for()
    assert page.get_by_role("alert").count() == 0
    page.get_by_role("link", name="again").click()
    page.get_by_role("button", name="Rotate").click()
    page.get_by_role("heading", name="Key rotated: again").wait_for()
    page.reload()
    page.get_by_role("heading", name="again", level=1).wait_for()
    (key,) = [one for one in gateway.api("GET", "/keys?limit=100")["data"] if one["name"] == "again"]
    assert page.url == f"{gateway.url}/dashboard/keys/{key['id']}"
    assert len(gateway.api("GET", f"/keys/{key['id']}")["secrets"]) == 2, "it was rotated once"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_fits_and_nothing_runs_that_should_not(
    gateway: DashboardGateway, visit: Callable[..., Visitor], pages: list[str], viewport: dict[str, int], scheme: str
) -> None:
    visitor = visit(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    visitor.sign_in(gateway.modelmux("dashboard"))
    for path in pages:
        visitor.go(path)
        width = visitor.page.evaluate("document.documentElement.scrollWidth")
        assert width <= viewport["width"], path
        assert visitor.page.locator("h1").count() == 1
        assert visitor.page.locator("img").count() == 0
    assert "401" not in str(visitor.problems)
    expected = "the server responded with a status of 404"
    visitor.problems = [one for one in visitor.problems if expected not in one]  # of the page that there is not


def test_a_person_signs_in_with_a_link_of_their_own(gateway: DashboardGateway, visit: Callable[..., Visitor]) -> None:
    gateway.modelmux("people", "create", "ann@example.com")
    gateway.modelmux("keys", "create", "--name", "ann", "--person", "ann@example.com")
    link = gateway.modelmux("people", "link", "ann@example.com")
    visitor = visit()
    visitor.page.goto(link)
    visitor.page.get_by_text("ann@example.com, member").wait_for()
    visitor.sign_in(link)
    visitor.go("/dashboard/keys")
    assert visitor.page.locator("tbody tr").count() == 1
    assert visitor.page.get_by_role("button", name="Create", exact=True).count() == 0
    gateway.modelmux("people", "edit", "ann@example.com", "--disable")
    visitor.go("/dashboard/keys")
    visitor.page.get_by_text("The session is over").wait_for()
    visitor.page.goto(link)
    visitor.page.get_by_text("not good any more").wait_for()
    visitor.problems = [one for one in visitor.problems if "a status of 401" not in one]


def test_without_scripts_everything_is_read_and_forms_work(
    gateway: DashboardGateway, visit: Callable[..., Visitor], pages: list[str]
) -> None:
    visitor = visit(java_script_enabled=False)
    visitor.sign_in(gateway.modelmux("dashboard"))
    for path in pages[:-1]:
        visitor.go(path)
        assert visitor.page.locator("main h1").count() == 1
    visitor.go("/dashboard/requests")
    assert "UTC" in visitor.page.locator("tbody time").first.inner_text()
    visitor.page.get_by_label("Outcome").select_option("client_error")
    visitor.page.get_by_role("button", name="Show").click()
    assert "outcome=client_error" in visitor.page.url
    visitor.go(pages[6])
    visitor.page.get_by_label("Amount in USD").fill("2")
    visitor.page.get_by_role("button", name="Top up").click()
    assert "$8.00" in visitor.page.locator("main").inner_text()


def test_the_switch_of_colours(gateway: DashboardGateway, visit: Callable[..., Visitor]) -> None:
    visitor = visit(color_scheme="light")
    visitor.sign_in(gateway.modelmux("dashboard"))
    background = "getComputedStyle(document.body).backgroundColor"
    light = visitor.page.evaluate(background)
    visitor.go("/dashboard/keys?status=active")
    visitor.page.get_by_role("button", name="Colours: auto").click()
    visitor.page.get_by_role("button", name="Colours: dark").wait_for()
    assert visitor.page.url.endswith("/dashboard/keys?status=active"), "it leads back"
    assert visitor.page.evaluate(background) != light
    visitor.page.get_by_role("button", name="Colours: dark").click()
    visitor.page.get_by_role("button", name="Colours: light").wait_for()
    assert visitor.page.evaluate(background) == light


def test_by_keyboard(gateway: DashboardGateway, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(gateway.modelmux("dashboard"))
    page.locator("button.primary:focus").wait_for()  # browsers move the focus after they have shown the page
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_way_back_shows_the_filters_of_the_address(
    gateway: DashboardGateway, visit: Callable[..., Visitor]
) -> None:
    visitor = visit()
    page = visitor.page
    visitor.sign_in(gateway.modelmux("dashboard"))
    visitor.go("/dashboard/costs")
    page.locator("[name=by]").select_option("key")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/costs?*by=key*")
    page.go_back()
    page.wait_for_url("**/costs")
    assert page.locator("[name=by]").input_value() == "team"
    page.go_forward()
    page.wait_for_url("**/costs?*by=key*")
    assert page.locator("[name=by]").input_value() == "key"


def test_forced_colours_leave_the_legend_of_a_chart(
    gateway: DashboardGateway, visit: Callable[..., Visitor], pages: list[str]
) -> None:
    visitor = visit(forced_colors="active")
    visitor.sign_in(gateway.modelmux("dashboard"))
    visitor.go(pages[0])
    colour = "one => getComputedStyle(one).backgroundColor"
    back, *keys = [visitor.page.locator(one).evaluate(colour) for one in ("body", ".key-all", ".key-part")]
    assert len({back, *keys}) == 3


def test_a_page_of_another_port_cannot_write(gateway: DashboardGateway, visit: Callable[..., Visitor]) -> None:
    """It is of the same site, so the browser sends the cookie along."""
    visitor = visit()
    visitor.sign_in(gateway.modelmux("dashboard"))
    visitor.page.goto(f"{gateway.gateway_url}/health")  # the other port of this machine: a page with its origin
    visitor.page.evaluate(
        """async (url) => {
          const body = new URLSearchParams({ name: "evil" });
          await fetch(url, { method: "POST", body, credentials: "include", mode: "no-cors" }).catch(() => {});
        }""",
        f"{gateway.url}/dashboard/keys",
    )
    until(lambda: "code=origin_not_allowed" in gateway.process.output())
    names = [one["name"] for one in gateway.api("GET", "/keys")["data"]]
    assert "evil" not in names
    visitor.problems.clear()  # it asked elsewhere, and was refused


def test_the_configuration_in_force_is_shown_also_after_it_was_read_again(
    gateway: DashboardGateway, visit: Callable[..., Visitor]
) -> None:
    visitor, file = visit(), gateway.folder / "config.toml"
    visitor.sign_in(gateway.modelmux("dashboard"))

    def row(setting: str) -> str:
        visitor.go("/dashboard/settings")
        rows = visitor.page.get_by_role("row")
        text: str = rows.filter(has=visitor.page.get_by_role("rowheader", name=setting, exact=True)).inner_text()
        return text

    text = file.read_text()
    assert re.search(rf"admin.token\s+\*\*\*\s+{re.escape(str(file))}:\d+", row("admin.token"))
    assert TOKEN not in visitor.page.content()
    file.write_text(text.replace("[vertex]", "[retries]\nmax = 1\n[vertex]"))
    gateway.process.signal(signal.SIGHUP)
    until(lambda: "action=reloaded" in gateway.process.output())
    assert re.search(r"retries.max\s+1\s", row("retries.max"))
    file.write_text(text)
    gateway.process.signal(signal.SIGHUP)
    until(lambda: gateway.process.output().count("action=reloaded") == 2)


def test_a_deployment_that_does_not_answer_is_shown_so(browser: Any, tmp_path: Path) -> None:
    """What a worker learns reaches the process of the pages."""
    gateway = DashboardGateway(tmp_path, f"http://127.0.0.1:{free_port()}")
    secret = gateway.api("POST", "/keys", {"name": "laptop"})["secret"]
    until(lambda: gateway.ask(secret).status_code >= 500 and "circuit breaker opened" in gateway.process.output())
    visitor = Visitor(browser, gateway.url, viewport=DESKTOP)
    visitor.sign_in(gateway.modelmux("dashboard"))
    visitor.page.get_by_role("link", name=f"{MODEL}@global: its circuit breaker").click()
    row = visitor.page.get_by_role("row").filter(has=visitor.page.get_by_role("rowheader", name=f"{MODEL}@global"))
    assert re.search(r"unavailable to 1 worker\s+(open|half open)", row.inner_text())
    visitor.page.get_by_role("link", name=MODEL, exact=True).click()
    visitor.page.get_by_text(f"{MODEL} goes to").wait_for()
    assert visitor.problems == []
    visitor.close()
    gateway.process.stop()
