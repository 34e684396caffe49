"""Risk: a cache with a limit for its entries, but none for their size, fills the memory with what clients chose."""

from __future__ import annotations

from typing import Any

from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.server.auth import ApiKeys
from modelmux.server.host_and_origin import HostAndOriginCheck
from modelmux.server.http import head
from modelmux.wire import request_head
from modelmux.wire.http import HttpCall, Origin, Timeouts

LONG = 60_000


def test_request_targets() -> None:
    head._read_target.cache_clear()
    for number in range(300):
        path = f"/{number}" + "x" * LONG
        assert head.read_target(path.encode() + b"?q=1") == (path, path.encode(), b"q=1")
        assert head.read_target(b"/%d?q" % number)[1] == b"/%d" % number
    info = head._read_target.cache_info()
    assert info.currsize == info.maxsize
    head._read_target.cache_clear()
    head.read_target(b"/" + b"x" * LONG)
    assert head._read_target.cache_info().currsize == 0


def test_accepted_keys() -> None:
    keys = ApiKeys(["sk-modelmux-first"])
    for spaces in range(LONG, LONG + 50):
        padded = b"Bearer" + b" " * spaces + b"sk-modelmux-first"
        assert keys.authenticate([(b"authorization", padded)]).owner != "anonymous"
    assert keys._accepted == {}
    keys.authenticate([(b"authorization", b"Bearer sk-modelmux-first")])
    assert len(keys._accepted) == 1


def test_targets_of_downloads() -> None:
    def call(target: str) -> Any:
        return request_head.encode_head(HttpCall(Origin("https", "a.example", 443), target, [], b"", Timeouts(), "GET"))

    request_head._prelude.cache_clear()
    assert call("/" + "x" * LONG).startswith(b"GET /xxx")
    assert request_head._prelude.cache_info().currsize == 0
    call("/x")
    assert request_head._prelude.cache_info().currsize == 1


def test_betas() -> None:
    provider = VertexClaude()
    url = (
        "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-6"
    )
    for number in range(20):
        template = provider._template(url, "token", betas=tuple(f"{number}-{i}-" + "x" * 90 for i in range(64)))
        assert template.headers[-1][0] == b"anthropic-beta"
    assert provider._templates == {}
    provider._template(url, "token", betas=("context-1m-2025-08-07",))
    assert len(provider._templates) == 1


def test_host_names() -> None:
    check = HostAndOriginCheck()
    for number in range(200):
        assert check.refusal("GET", [(b"host", b"x%d" % number + b"x" * LONG + b".localhost")]) is None
    assert check._accepted == set()
