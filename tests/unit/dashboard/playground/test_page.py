"""Risk: the key of the form is stored or told, a gateway that answers oddly breaks the page, or a call outlives it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from modelmux.accounts.roles import PERMISSIONS
from modelmux.dashboard.playground.call import MAX_RUNNING
from modelmux.dashboard.playground.question import MAX_TEXT
from modelmux.store.base import StoreFailed
from modelmux.wire.http import Origin
from support.admin import organisation
from support.dashboard import Browser, text_of
from support.directories import NOW
from support.emulator_server import until
from support.entries import entry
from support.log_lines import Lines
from support.stub_gateway import CHUNKS, Answer, StubGateway, as_json, stream, stub_gateway

PATH = "/dashboard/playground"
KEY = "sk-canary-of-a-person"
FORM = {"api": "chat", "model": "claude-sonnet-5-5", "message": "Hi <b>there</b>", "key": KEY, "do": "send"}


async def visited(folder: Path, stub: StubGateway | None, **options: Any) -> Browser:
    browser = Browser(folder, **({} if stub is None else {"models_at": Origin.parse(stub.url)}), **options)
    await browser.sign_in()
    return browser


async def asked(browser: Browser, form: dict[str, str] | None = None, **options: Any) -> list[tuple[str, Any]]:
    """The events of the stream."""
    response = await browser.post(f"{PATH}/stream", FORM | (form or {}), accept="application/json", **options)
    assert response.status == 200, response.body
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [block.split("\n") for block in response.body.decode().split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


async def test_a_call_has_the_key_and_nothing_else_has_it(tmp_path: Path) -> None:
    lines = Lines()
    with stub_gateway() as stub:
        browser = await visited(tmp_path, stub, log=cast("Any", lines))
        events = await asked(browser)
        page = await browser.post(PATH, FORM)
        (first, second) = stub.received
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert first.path == "/v1/chat/completions"
    assert first.body["messages"] == [{"role": "user", "content": "Hi <b>there</b>"}]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert [name for name, _ in events][:2] == ["sent", "start"]
    assert ("text", {"text": "Hello"}) in events
    html = page.body.decode()
    assert "Hello" in text_of(html)
    assert "<b>there</b>" not in html
    assert KEY not in html + json.dumps(events) + str(lines.lines) + json.dumps(await browser.data(PATH))
    audit = await browser.admin.ok("GET", "/audit")
    assert KEY not in json.dumps(audit)
    await browser.admin.aclose()


async def test_the_row_of_the_request_is_found_among_others(tmp_path: Path) -> None:
    with stub_gateway() as stub:
        browser = await visited(tmp_path, stub, looks=10_000)
        ledger: Any = browser.admin.ledger
        original = asyncio.create_task(asked(browser))
        await until(lambda: bool(stub.received))
        id = stub.received[0].headers["x-request-id"]
        await ledger.append([
            entry(NOW + 1000 + n, key=f"key_{n}", client_request_id="another" if n else id) for n in range(3)
        ])  # fmt: skip
        (charged,) = [data["html"] for name, data in await original if name == "charged"]
    assert "key_0" in charged
    assert "/dashboard/requests/" in charged
    await browser.admin.aclose()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (as_json({"error": {"message": "No <i>money</i>.", "code": "budget_spent"}}, 429), "429 budget_spent. No <i>"),
        (Answer(502, b"<html>bad</html>", "text/html"), "502. <html>bad</html>"),
        (Answer(200, b"<html>fine</html>", "text/html"), "Error. The answer ended early."),
        (stream(CHUNKS.removesuffix(b"data: [DONE]\n\n")), "Error. The answer ended early."),
        (stream(b'data: {"error": {"message": "Overloaded"}}\n\n'), "Error. Overloaded"),
        (stream(b"data: " + b"x" * 2_000_000), "Error. The connection to the gateway broke"),
    ],
)
async def test_what_goes_wrong_is_shown_as_a_client_sees_it(tmp_path: Path, answer: Answer, expected: str) -> None:
    from html import unescape

    with stub_gateway({"POST": answer}) as stub:
        browser = await visited(tmp_path, stub)
        (error,) = [data["html"] for name, data in await asked(browser) if name == "error"]
        page = await browser.post(PATH, FORM)
    shown = unescape(error.replace("<strong>", "").replace("</strong>", ""))
    assert expected in shown
    assert expected in unescape(page.body.decode().replace("<strong>", "").replace("</strong>", ""))
    assert "<i>" not in error
    await browser.admin.aclose()


async def test_a_gateway_that_is_not_there_is_said(tmp_path: Path) -> None:
    browser = await visited(tmp_path, None)
    events = await asked(browser)
    assert [name for name, _ in events] == ["sent", "error"]
    assert "The gateway was not reached" in events[1][1]["html"]
    await browser.admin.aclose()


async def test_a_visitor_who_leaves_ends_the_call(
    tmp_path: Path, never: tuple[Callable[[], Origin], list[bytes]]
) -> None:
    start, requests = never
    browser = Browser(tmp_path, models_at=start())
    await browser.sign_in()
    running = browser.dashboard._site.playground.running
    for number, path in enumerate((PATH, f"{PATH}/stream"), 1):
        left = asyncio.Event()
        task = asyncio.create_task(browser.post(path, FORM, disconnect=left))
        await until(lambda number=number: len(requests) == number)  # type: ignore[misc]
        assert running
        left.set()
        await asyncio.wait_for(task, 100)
        assert not running
    await browser.admin.aclose()


async def test_a_ledger_that_fails_is_the_last_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    with stub_gateway() as stub:
        browser = await visited(tmp_path, stub, log=cast("Any", lines))

        async def fail(*_: Any) -> Any:
            raise StoreFailed("canary of a path")

        monkeypatch.setattr(browser.admin.ledger, "entries", fail)
        *_, end, last = await asked(browser)
        page = await browser.post(PATH, FORM)
    assert (page.status, "Hello" in text_of(page.body.decode())) == (200, True)  # it was paid for
    assert end[0] == "end"
    assert last == ("failed", {"message": "The accounts cannot be read or written. Try again shortly."})
    assert "canary of a path" in str(lines.lines)
    await browser.admin.aclose()


async def test_so_many_calls_run_at_once(tmp_path: Path) -> None:
    with stub_gateway() as stub:
        browser = await visited(tmp_path, stub)
        running = browser.dashboard._site.playground.running
        running |= {str(number) for number in range(MAX_RUNNING)}
        assert "playground_busy" in dict(await asked(browser))["error"]["html"]
        running.pop()
        assert "start" in dict(await asked(browser))
        assert len(running) == MAX_RUNNING - 1
        assert len(stub.received) == 1
    await browser.admin.aclose()


async def test_a_field_that_will_not_do_is_told_to_the_script_and_on_the_page(tmp_path: Path) -> None:
    with stub_gateway() as stub:
        browser = await visited(tmp_path, stub)
        wrong = FORM | {"max_tokens": "many", "key": "sk-canary\nx: 1"}
        told = await browser.post(f"{PATH}/stream", wrong, accept="application/json")
        assert told.status == 400
        assert told.json()["error"]["param"] == "max_tokens"
        page = await browser.post(PATH, wrong | {"max_tokens": "9"})
        assert page.status == 400
        assert "this is not a key" in page.body.decode()
        assert "sk-canary" not in page.body.decode()
        assert not stub.received
    await browser.admin.aclose()


async def test_show_sends_nothing(tmp_path: Path) -> None:
    with stub_gateway() as stub:
        browser = await visited(tmp_path, stub)
        assert [name for name, _ in await asked(browser, {"do": "show"})] == ["sent"]
        assert "vertex-2023-10-16" in (await browser.post(PATH, FORM | {"do": "show"})).body.decode()
        assert not stub.received
    await browser.admin.aclose()


@pytest.mark.parametrize("role", list(PERMISSIONS))
async def test_every_role_may_ask_with_a_key_and_sees_no_row_that_it_may_not(tmp_path: Path, role: str) -> None:
    with stub_gateway() as stub:
        looks = 10_000 if role in ("owner", "admin") else 10
        browser = Browser(tmp_path, models_at=Origin.parse(stub.url), looks=looks)
        await organisation(browser.admin)  # has keys
        page = await browser.get(PATH, authorization=f"Bearer token-{role}")
        assert page.status == 200
        task = asyncio.create_task(asked(browser, authorization=f"Bearer token-{role}"))
        await until(lambda: bool(stub.received))
        row = entry(NOW + 1000, key="static_1", client_request_id=stub.received[0].headers["x-request-id"])
        await browser.admin.ledger.append([row])  # type: ignore[attr-defined]
        charged = dict(await task)["charged"]["html"]
    assert ("static_1" in charged) == (role in ("owner", "admin"))
    await browser.admin.aclose()


@pytest.mark.parametrize("role", list(PERMISSIONS))
async def test_without_a_key_only_those_ask_who_may_do_everything(tmp_path: Path, role: str) -> None:
    """A gateway on loopback may ask for none, and the request comes from its machine, wherever the visitor is."""
    with stub_gateway() as stub:
        browser = Browser(tmp_path, models_at=Origin.parse(stub.url))
        may = role in ("owner", "admin")
        for path, key in ((PATH, " "), (f"{PATH}/stream", " "), (PATH, KEY)):  # there is none, so this is not one
            response = await browser.post(path, FORM | {"key": key}, authorization=f"Bearer token-{role}")
            assert response.status == (200 if may else 400)
            assert ("paste the secret" in response.body.decode().lower()) != may
        assert len(stub.received) == 3 * may
        shown = await browser.post(PATH, FORM | {"key": "", "do": "show"}, authorization=f"Bearer token-{role}")
        assert shown.status == 200
    await browser.admin.aclose()


@pytest.fixture
def never() -> Any:
    """Starts a server that takes requests and does not answer, and those that it got; at its end their connections
    were closed."""
    import socket

    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []
    closed = threading.Semaphore(0)
    requests: list[bytes] = []

    def start() -> Origin:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    requests.append(connection.recv(65536))
                    while connection.recv(65536):
                        pass
                closed.release()

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return Origin("http", *server.getsockname()[:2])

    yield start, requests
    for _ in range(2):
        assert closed.acquire(timeout=100), "the connection of the call was left open"
    threads[0].join()
    servers[0].close()


@pytest.mark.parametrize("letter", ["語", "\U0001f600"])
async def test_as_much_text_as_may_be_sent_is_taken_in_every_script(tmp_path: Path, letter: str) -> None:
    browser = await visited(tmp_path, None)
    texts = {"message": letter * MAX_TEXT, "system": letter * MAX_TEXT, "do": "show"}
    assert [name for name, _ in await asked(browser, texts)] == ["sent"]
    assert (await browser.post(PATH, FORM | texts)).status == 200
    more = await browser.post("/dashboard/keys", {"name": letter * 2 * MAX_TEXT}, accept="application/json")
    assert more.status == 413
    await browser.admin.aclose()
