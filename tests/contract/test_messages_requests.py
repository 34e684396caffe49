"""Every recorded Messages request: what leaves for Vertex AI equals what the client sent, key order and the spelling of
numbers included, but for the documented changes; or it is refused by a field that is listed here.

The changes are written down a second time, from Anthropic's and Google's documentation and from real traffic, so that
they cannot share a mistake with the rules of the product.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from modelmux.upstream.downloads.cache import Fetched
from modelmux.upstream.downloads.fetcher import Fetcher
from support.asgi import Response, request
from support.fakes import FakeUpstream, message_reply
from support.gateway import gateway
from support.pictures import png
from support.recordings import messages_requests

#: Files whose request is refused -> the field that the refusal names.
REFUSED: Final = {
    "anthropic-vertex-python-beta-fallbacks": "fallbacks",
    "anthropic-vertex-python-beta-files-source": "messages.0.content.0.source",
    "anthropic-vertex-python-beta-mcp-connector": "mcp_servers",
    "anthropic-vertex-python-beta-skills-container": "container",
    "anthropic-vertex-python-beta-web-fetch": "tools.0.type",
    "chat-web-search-with-anthropic-claude-haiku-4-5-replays-sear": "tools.0.type",  # a later web search
    "test-anthropic-code-execution-files-cache-prefix-stable-auto": "tools.0.type",
    "testcrewmultimodalfileupload-test-image-upload-anthropic": "messages.0.content.1.source",
    "testcrewmultimodalfileupload-test-pdf-upload-anthropic": "messages.0.content.1.source",
}
#: What the URLs of the recordings hold, by the end of the path.
FILES: Final = {
    ".pdf": Fetched(b"%PDF-1.4 a document", "application/pdf"),
    ".png": Fetched(png(), "image/png"),
}
#: Models of the recordings that are not in the catalog, and what stands for them.
STAND_INS: Final = {
    "claude-3-5-haiku-20241022": "claude-opus-4-1", "claude-3-5-haiku-latest": "claude-opus-4-1",
    "claude-sonnet-4-0": "claude-opus-4-1", "claude-sonnet-4-20250514": "claude-opus-4-1",
    "claude-fable-5-2": "claude-fable-5-1",
}  # fmt: skip
WITHOUT_EFFORT: Final = re.compile(r"claude-(opus-4-1|sonnet-4-[05]|sonnet-4-20|haiku-4-5|3-)")
REMOVED: Final = (
    "model", "anthropic_version", "output_format", "anthropic_beta", "tags", "diagnostics", "user_profile_id",
    "workspace_id", "billing_policy", "inference_geo", "service_tier", "fallback_credit_token", "speed",
)  # fmt: skip
DROPPED_BETAS: Final = re.compile(
    "(files-api|mcp-client|code-execution|skills|web-fetch|advisor-tool|message-batches|managed-agents|message-threads"
    "|cache-diagnosis|output-300k|server-side-fallback|fast-mode)-"
)
VERSIONS: Final = {"2026-10-21": "2026-10-21", "2023-06-01": "vertex-2023-10-16", None: "vertex-2023-10-16"}

Pairs = list[tuple[str, Any]]


def parsed(body: bytes | str) -> Any:
    """JSON with objects as lists of their members, and numbers as they are written."""
    return json.loads(body, object_pairs_hook=list, parse_int=str, parse_float=str)


def is_object(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], tuple)


def without_scope(value: Any) -> Any:
    """Without ``scope`` in any cache marker."""
    if is_object(value):
        return [
            (key, [pair for pair in item if pair[0] != "scope"] if key == "cache_control" else without_scope(item))
            for key, item in value
        ]
    return [without_scope(item) for item in value] if isinstance(value, list) else value


def with_files(value: Any) -> Any:
    """With the files in place of their URLs."""
    if is_object(value):
        fields = dict(value)
        if fields.get("type") == "url" and "url" in fields:
            file = FILES[fields["url"][-4:]]
            return [("type", "base64"), ("media_type", file.media_type), ("data", base64.b64encode(file.data).decode())]
        return [(key, with_files(item)) for key, item in value]
    return [with_files(item) for item in value] if isinstance(value, list) else value


def expected_body(body: Pairs, model: str, *, verb_streams: bool) -> Pairs:
    """The documented changes."""
    fields = dict(body)
    members = [(key, value) for key, value in with_files(without_scope(body)) if key not in REMOVED]
    if "output_format" in fields:
        members = [("output_config", [*fields.get("output_config", []), ("format", fields["output_format"])]), *members]
    if WITHOUT_EFFORT.match(model):
        members = [
            (key, [pair for pair in value if pair[0] != "effort"] if key == "output_config" else value)
            for key, value in members
        ]
        members = [pair for pair in members if pair != ("output_config", [])]
    if verb_streams and "stream" not in fields:
        members = [("stream", True), *members]
    return members


def expected_betas(recording: dict[str, Any]) -> list[str]:
    header = recording["request_headers"].get("anthropic-beta", "")
    renamed = header.replace("advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19")
    values = [value for value in renamed.split(",") if value and not DROPPED_BETAS.match(value)]
    tools = recording["request"].get("tools", [])
    if any(str(tool.get("type", "")).startswith("web_search_") for tool in tools):
        values.append("web-search-2025-03-05")
    if any(tool.get("defer_loading") for tool in tools):
        values.append("tool-search-tool-2025-10-19")
    return list(dict.fromkeys(values))


def model_of(recording: dict[str, Any]) -> str:
    match = re.search(r"/models/([^:]+):", recording["endpoint"] or "")
    return match[1] if match else recording["request"]["model"]


async def sent(recording: dict[str, Any], body: bytes) -> tuple[Response, FakeUpstream]:
    """The recorded request, through a gateway with the models of the recording."""
    model = model_of(recording)
    route = {"name": model, "model": STAND_INS.get(model, model)}
    upstream = FakeUpstream([message_reply()])
    app = gateway(upstream, vertex={"models": [route]})
    path = urlsplit(recording["endpoint"]).path if recording["surface"] == "vertex" else "/v1/messages"
    headers = {name: value for name, value in recording["request_headers"].items() if name != "accept-encoding"}
    return await request(app, "POST", path, body, headers), upstream


@pytest.fixture(autouse=True)
def downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch_all(_: Fetcher, urls: Iterable[str], owner: str = "") -> dict[str, Fetched]:
        return {url: FILES[url[-4:]] for url in urls}

    monkeypatch.setattr(Fetcher, "fetch_all", fetch_all)


def name_of(recording: dict[str, Any]) -> str:
    return re.sub(r"^mreq-|-[0-9a-f]{6}$", "", recording["id"])


@pytest.mark.parametrize("indent", [None, 1], ids=["compact", "indented"])
@pytest.mark.parametrize("recording", messages_requests("messages", "vertex"))
async def test_what_leaves_is_what_came_but_for_the_documented_changes(
    recording: dict[str, Any], indent: int | None
) -> None:
    body = json.dumps(recording["request"], indent=indent, ensure_ascii=indent is None).encode()
    response, upstream = await sent(recording, body)
    if name_of(recording) in REFUSED:
        assert response.status == 400
        error = response.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"].startswith(REFUSED[name_of(recording)] + ":")
        assert upstream.calls == []
        return
    assert response.status == 200, response.body
    (call,) = upstream.calls
    client, left = parsed(body), parsed(call.body)
    verb_streams = ":streamRawPredict" in (recording["endpoint"] or "")
    assert [pair for pair in left if pair[0] != "anthropic_version"] == expected_body(
        client, model_of(recording), verb_streams=verb_streams
    )
    version = recording["request_headers"].get("anthropic-version")
    assert dict(left)["anthropic_version"] == dict(client).get("anthropic_version", VERSIONS[version])
    betas = [value.decode() for name, value in call.headers if name == b"anthropic-beta"]
    assert [beta for value in betas for beta in value.split(",")] == expected_betas(recording)
    streams = bool(recording["request"].get("stream")) or verb_streams
    assert call.target.endswith(":streamRawPredict" if streams else ":rawPredict")


@pytest.mark.parametrize("recording", messages_requests("messages", "vertex"))
async def test_what_is_left_out_is_said_so(recording: dict[str, Any]) -> None:
    response, _ = await sent(recording, json.dumps(recording["request"]).encode())
    notices = response.headers.get("x-modelmux-notices", "")
    for field in ("service_tier", "inference_geo", "speed", "tags"):
        assert (f"dropped={field}" in notices) == (field in recording["request"])
    for beta in recording["request_headers"].get("anthropic-beta", "").split(","):
        is_dropped = bool(DROPPED_BETAS.match(beta)) and response.status == 200
        assert (f"dropped=anthropic-beta.{beta}" in notices) == is_dropped
