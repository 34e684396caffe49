"""Risk: an image or document by URL is not inlined, changes between turns, or reaches a private address."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from modelmux import Config, ConfigError
from modelmux.app import Gateway
from modelmux.errors import InvalidRequest
from support.asgi import request
from support.clock import current_runtime
from support.fakes import FakeTokens, FakeUpstream, message_reply
from support.fetch_servers import PNG, Site, ok, site, status
from support.gateway import PATH, ask

KEYS = ["sk-first-of-two-9d1f0c77", "sk-second-of-two-51c2ab0e"]
PDF = b"%PDF-1.7\n..."


@asynccontextmanager
async def gateway(upstream: FakeUpstream, **fetch: Any) -> AsyncIterator[Gateway]:
    settings = {"vertex": {"project": "p", "location": "global"}, "fetch": fetch}
    app = Gateway(
        Config.from_dict(settings), upstream=upstream, tokens=FakeTokens(), environment={}, runtime=current_runtime()
    )
    yield app
    await app.aclose()


def showing(*urls: str) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return ask() | {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]}


def permitted(served: Site) -> dict[str, Any]:
    return {"allow_private": ["127.0.0.0/8"], "extra_ports": [served.port]}


async def test_an_image_is_fetched_once_and_inlined_the_same_every_turn() -> None:
    async with site({"/cat.png": ok(PNG, "application/octet-stream")}) as served:
        upstream = FakeUpstream([message_reply(), message_reply()])
        async with gateway(upstream, **permitted(served)) as app:
            for _ in range(2):
                assert (await request(app, "POST", PATH, showing(served.url("/cat.png")))).status == 200
        assert served.paths == ["/cat.png"]
    want = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    assert [upstream.body(i)["messages"][0]["content"][1]["source"] for i in (0, 1)] == [want, want]


@pytest.mark.parametrize(
    ("path", "data", "taken"),
    [("/notes.md", b"# hi", True), ("/notes.md", b"\x01\x02", False), ("/notes.bin", b"# hi", False)],
)
async def test_a_text_that_is_served_as_unknown_bytes(path: str, data: bytes, taken: bool) -> None:
    async with site({path: ok(data, "application/octet-stream")}) as served:
        upstream = FakeUpstream([message_reply()])
        async with gateway(upstream, **permitted(served)) as app:
            part = {"type": "file", "file": {"file_url": served.url(path)}}
            body = ask() | {"messages": [{"role": "user", "content": [part]}]}
            response = await request(app, "POST", PATH, body)
    assert response.status == (200 if taken else 400)
    if taken:
        assert upstream.body()["messages"][0]["content"][0]["source"]["data"] == data.decode()


async def test_a_pdf_by_url_in_a_tool_result_becomes_a_document() -> None:
    async with site({"/paper": ok(PDF, "application/pdf")}) as served:
        upstream = FakeUpstream([message_reply()])
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        file = {"type": "file", "file": {"file_data": served.url("/paper"), "filename": "paper.pdf"}}
        body = ask() | {
            "messages": [
                {"role": "user", "content": "read"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": [file]},
            ]
        }
        async with gateway(upstream, **permitted(served)) as app:
            assert (await request(app, "POST", PATH, body)).status == 200
    block = upstream.body()["messages"][2]["content"][0]["content"][0]
    assert (block["type"], block["title"], block["source"]["media_type"]) == (
        "document",
        "paper.pdf",
        "application/pdf",
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png",
        "http://localhost/x.png",
        "http://169.254.169.254/computeMetadata/v1/",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://[::ffff:169.254.169.254]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "https://user:pass@example.com/x.png",
        "http://10.0.0.1:22/",
    ],
)
async def test_what_is_not_public_is_refused_through_the_endpoint(url: str) -> None:
    upstream = FakeUpstream([])
    async with gateway(upstream) as app:
        response = await request(app, "POST", PATH, showing(url))
    error = response.json()["error"]
    assert (response.status, error["param"]) == (400, "messages.0.content.1.image_url")
    assert not upstream.calls


async def test_errors_name_the_part_and_quote_nothing() -> None:
    routes = {"/gone": status(404), "/blob": ok(b"\x00\x01secret", "application/x-blob")}
    async with site(routes) as served, gateway(FakeUpstream([]), **permitted(served)) as app:
        for path in ("/gone", "/blob"):
            body = showing("data:image/gif;base64,R0lGODlhAQ==", served.url(path))
            response = await request(app, "POST", PATH, body)
            assert response.status == 400
            assert response.json()["error"]["param"] == "messages.0.content.2.image_url"
            assert "secret" not in response.body.decode()


async def test_an_error_says_what_the_bytes_of_a_file_look_like() -> None:
    routes = {"/a.docx": ok(b"PK\x03\x04\xff", "application/pdf")}
    async with site(routes) as served, gateway(FakeUpstream([]), **permitted(served)) as app:
        response = await request(app, "POST", PATH, showing(served.url("/a.docx")))
    message = response.json()["error"]["message"]
    assert response.status == 400
    assert "look like a ZIP archive" in message
    assert "Convert the document to PDF" in message


async def test_a_file_put_right_is_seen_at_once() -> None:
    async with site({"/x": ok(b"\x00junk", "image/png")}) as served:
        upstream = FakeUpstream([message_reply()])
        async with gateway(upstream, **permitted(served)) as app:
            assert (await request(app, "POST", PATH, showing(served.url("/x")))).status == 400
            served.routes["/x"] = ok(PNG)
            assert (await request(app, "POST", PATH, showing(served.url("/x")))).status == 200


async def test_it_can_be_switched_off() -> None:
    upstream = FakeUpstream([])
    async with gateway(upstream, enabled=False) as app:
        response = await request(app, "POST", PATH, showing("https://example.com/x.png"))
    assert response.status == 400
    assert response.json()["error"]["param"] == "messages.0.content.1.image_url"


async def test_a_wrong_setting_is_named_at_start() -> None:
    with pytest.raises(ConfigError, match="fetch"):
        async with gateway(FakeUpstream([]), allow_private=["not a network"]):
            pass


async def test_more_than_a_hundred_urls_and_none_after_a_forbidden_one() -> None:
    """Neither fetches anything, and the error names the URL that is too many, or forbidden."""
    async with site({f"/{number}.png": ok(PNG) for number in range(101)}) as served:
        upstream = FakeUpstream([message_reply()])
        urls = [served.url(f"/{number}.png") for number in range(101)]
        async with gateway(upstream, **permitted(served)) as app:
            response = await request(app, "POST", PATH, showing(*urls))
            assert (response.status, response.json()["error"]["param"]) == (400, "messages.0.content.101.image_url")
            assert "100 URLs" in response.json()["error"]["message"]
            response = await request(app, "POST", PATH, showing(*urls[:10], "http://169.254.169.254/"))
            assert (response.status, response.json()["error"]["param"]) == (400, "messages.0.content.11.image_url")
            assert not served.heads
            assert (await request(app, "POST", PATH, showing(*urls[:100]))).status == 200
        assert len(served.heads) == 100
        assert len(upstream.calls) == 1


async def test_each_key_has_its_own_share_of_the_downloads() -> None:
    """Two keys ask at once; what the downloads are told of them differs, and is not the key."""
    owners: list[str] = []
    async with gateway(FakeUpstream([]), enabled=True) as app:

        async def fetch_all(urls: Any, owner: str = "") -> Any:
            owners.append(owner)
            raise InvalidRequest("seen")

        app._current.fetcher.fetch_all = fetch_all  # type: ignore[method-assign]
        await app.reload(Config.from_dict(
            {"vertex": {"project": "p", "location": "global"}, "server": {"api_keys": KEYS}}
        ))  # fmt: skip
        for key in KEYS:
            headers = {"authorization": f"Bearer {key}"}
            await request(app, "POST", PATH, showing("https://a.example/a.png"), headers)
    assert len(set(owners)) == 2
    assert not set(owners) & {*KEYS, ""}
