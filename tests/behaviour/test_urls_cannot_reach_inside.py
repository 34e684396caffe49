"""Risk: a URL in a request makes the gateway connect to a private network or a metadata service."""

from __future__ import annotations

from typing import Any

import pytest

from support.asgi import request
from support.blocks import USER
from support.fakes import FakeUpstream, message_reply
from support.fetch_servers import Names, RedirectedConnects, ok, site
from support.gateway import PATH, ask, gateway
from support.pictures import image_part
from support.security import imported

_PRIVATE_URLS = [
    "http://0.0.0.0/", "http://[::]/", "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://0251.0376.0251.0376/",
    "http://0xa9fea9fe/", "http://169。254。169。254/", "http://metadata.google.internal/", "http://user@169.254.169.254/",
    "http://127.1/", "http://localhost/", "http://rebind.example/", "http://[fd00:ec2::254]/", "http://a.example@127.0.0.1/",
    "http://127.0.0.1:80\\@a.example/", "gopher://127.0.0.1/", "file:///etc/passwd", "http://a.example:22/",
]  # fmt: skip


@pytest.mark.parametrize("url", _PRIVATE_URLS)
async def test_s9_no_spelling_of_a_url_reaches_a_private_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(rebind_example=[["93.184.215.14", "10.0.0.1"]], a_example=[["10.0.0.1"]])
    async with site({"/": ok()}) as inside:
        connects = RedirectedConnects(monkeypatch, inside)
        app = gateway(upstream := FakeUpstream([]))
        app._current.fetcher._guard._resolver = names
        response = await request(
            app, "POST", PATH, ask() | {"messages": [{"role": "user", "content": [image_part(url)]}]}
        )
        await app.aclose()
        assert response.status == 400, response.body
        assert not connects.addresses
        assert not inside.heads
    assert not upstream.calls


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}},
        {"type": "image_url", "image_url": "http://169.254.169.254/"},
        {"type": "file", "file": {"file_data": "http://169.254.169.254/", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_url": "http://169.254.169.254/"}},
    ],
)
async def test_s10_every_download_uses_the_guard(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site({"/": ok()}) as inside:
        connects = RedirectedConnects(monkeypatch, inside)
        for role in ("user", "tool"):
            call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            turns = [USER, {"role": "assistant", "tool_calls": [call]}] if role == "tool" else []
            message = {"role": role, "content": [part]} | ({"tool_call_id": "c"} if role == "tool" else {})
            app = gateway(upstream := FakeUpstream([message_reply()]))
            response = await request(app, "POST", PATH, ask() | {"messages": [*turns, message]})
            await app.aclose()
            assert response.status == 400, response.body
            assert not upstream.calls
        assert not connects.addresses


def test_s10_only_the_fetcher_opens_urls() -> None:
    clients = {"urllib.request", "http.client", "requests", "httpx", "aiohttp", "socket"}
    serving = (
        "server/",
        "gateway/",
        "claude/",
        "dialects/",
        "providers/",
        "routing/",
        "wire/",
        "catalog/",
        "telemetry/",
    )
    imports = [f for f in imported("urllib", "http", "requests", "httpx", "aiohttp", "socket") if f.startswith(serving)]
    assert not [f for f in imports if f.partition(": ")[2] in clients]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"fetch": {"allow_private": ["0.0.0.0/0", "::/0"], "extra_ports": list(range(1, 2000))}},
        {"fetch": {"allow": ["metadata.google.internal", "169.254.169.254", "rebind.example"]}},
        {"fetch": {"allow_private": ["169.254.0.0/16"], "timeout": 1}},
    ],
)
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://metadata.google.internal/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://rebind.example/",
    ],
)
async def test_s28_the_guard_holds_with_every_opt_in(
    settings: dict[str, Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site({"/": ok(), "/latest": ok()}) as inside:
        connects = RedirectedConnects(monkeypatch, inside)
        app = gateway(upstream := FakeUpstream([]), **settings)
        app._current.fetcher._guard._resolver = Names(rebind_example=[["169.254.169.254"]])
        body = ask() | {"messages": [{"role": "user", "content": [image_part(url)]}]}
        assert (await request(app, "POST", PATH, body)).status == 400
        await app.aclose()
        assert not connects.addresses
    assert not upstream.calls


async def test_s28_disabled_downloads_open_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site({"/": ok()}) as outside:
        connects = RedirectedConnects(monkeypatch, outside)
        app = gateway(
            FakeUpstream([]), fetch={"enabled": False, "allow_private": ["127.0.0.0/8"], "extra_ports": [outside.port]}
        )
        body = ask() | {"messages": [{"role": "user", "content": [image_part(outside.url())]}]}
        assert (await request(app, "POST", PATH, body)).status == 400
        await app.aclose()
        assert not connects.addresses
