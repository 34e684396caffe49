"""Real requests to Claude are accepted by the emulator, or rejected for something Vertex AI is known not to accept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from modelmux.catalog import builtin
from support.emulator_calls import EmulatorReply, ask, emulator
from support.recordings import recordings

Json = dict[str, Any]

_SERVER_TOOLS = ("code_execution_", "web_fetch_", "advisor_", "web_search_20260", "mcp_toolset")
_FIRST_PARTY = {"service_tier", "container", "mcp_servers", "output_format"}
_DROPPED_BETAS = "mcp-|advanced-|advisor-|code-exec|skills-|files-|web-fetch"
_NEEDS_BETA = ("tool_search_tool_", "computer_")


def _tool_types(request: Json) -> list[str]:
    return [str(t.get("type") or "custom") for t in request.get("tools") or []]


def _anywhere(request: Json, pattern: str) -> bool:
    return re.search(pattern, json.dumps(request)) is not None


def _betas(recording: Json) -> str:
    headers = {k.lower(): v for k, v in (recording.get("request_headers") or {}).items()}
    return str(headers.get("anthropic-beta", ""))


#: What Vertex AI does not accept (anthropic-vertex.md 1.3, 3, 4), with the message of the error. The lambda gets the
#: recording and its request.
_REASONS: list[tuple[str, Callable[[Json, Json], bool], str]] = [
    ("first-party betas", lambda r, q: re.search(_DROPPED_BETAS, _betas(r)) is not None,
     r"Unexpected value\(s\) `.*` for the `anthropic-beta` header"),
    ("server tools not on Vertex", lambda r, q: any(t.startswith(_SERVER_TOOLS) for t in _tool_types(q)),
     r"tools\.\d+: Input tag '.*' found using 'type' does not match"),
    ("tools that need a beta", lambda r, q: any(t.startswith(_NEEDS_BETA) for t in _tool_types(q)),
     r"tools\.\d+: Input tag '(tool_search|computer).*' found|defer_loading: Extra inputs"),
    ("references to deferred tools need a beta", lambda r, q: _anywhere(q, '"type": "tool_reference"'),
     "Input tag 'tool_reference' found"),
    ("deferred tools need a beta", lambda r, q: _anywhere(q, '"defer_loading": true'), r"defer_loading: Extra inputs"),
    ("fields of the first party", lambda r, q: bool(_FIRST_PARTY & set(q)),
     r"(service_tier|container|mcp_servers|output_format): Extra inputs are not permitted"),
    ("context management needs a beta", lambda r, q: "context_management" in q, r"context_management: Extra inputs"),
    ("URL and file sources", lambda r, q: _anywhere(q, r'"source": \{[^{}]*"type": "(url|file)"'),
     r"source: Input tag '(url|file)' found"),
    ("files in containers", lambda r, q: _anywhere(q, '"container_upload"'), "Input tag 'container_upload' found"),
    ("tool changes need a beta", lambda r, q: _anywhere(q, '"tool_addition"'), "Input tag 'tool_addition' found"),
]  # fmt: skip


def _model(recording: Json) -> str | None:
    """The Vertex id of the recorded model, or None if it is not in the catalog."""
    name = recording["upstream_request"].get("model") or str(recording["endpoint"]).rsplit("/", 1)[-1].split(":")[0]
    card = builtin().find(name)
    return card.id if card else None


async def _replay(recording: Json, model: str) -> EmulatorReply:
    request = {k: v for k, v in recording["upstream_request"].items() if k != "model"}
    request["anthropic_version"] = "vertex-2023-10-16"
    return await ask(emulator(), request, model=model, betas=_betas(recording), verb="rawPredict")


@pytest.mark.parametrize("recording", recordings("message", "stream", "error"))
async def test_a_recorded_request_is_accepted_or_rejected_for_a_listed_reason(recording: Json) -> None:
    request = recording["upstream_request"]
    if not isinstance(request, dict) or "messages" not in request:
        pytest.skip("the recording keeps no Messages request")
    model = _model(recording)
    if model is None:
        answer = await _replay(recording, "claude-3-haiku@20240307")
        assert answer.status == 404
        assert answer.message.startswith("Publisher Model `projects/p/locations/global/publishers/anthropic/models/")
        return
    reasons = [words for _, holds, words in _REASONS if holds(recording, request)]
    answer = await _replay(recording, model)
    if not reasons:
        assert answer.status == 200, answer.body
        return
    assert answer.status == 400, f"expected one of {reasons}"
    assert any(re.search(words, answer.message) for words in reasons), (answer.message, reasons)


@pytest.mark.parametrize("recording", recordings("stream"))
async def test_the_emulator_streams_the_kinds_of_events_the_real_one_does(recording: Json) -> None:
    """The same request gives the same kinds of events, in the same order of first appearance."""
    request = recording["upstream_request"]
    model = _model(recording) if isinstance(request, dict) and "messages" in request else None
    if model is None or any(holds(recording, request) for _, holds, _ in _REASONS):
        pytest.skip("not a request that Vertex AI takes")
    body = {k: v for k, v in request.items() if k != "model"}
    body |= {"anthropic_version": "vertex-2023-10-16", "stream": True}
    answer = await ask(emulator(), body, model=model, betas=_betas(recording))
    ours = _shape([data for _, data in answer.events])
    real = _shape([json.loads(line[6:]) for line in recording["sse"].splitlines() if line.startswith("data: {")])
    assert ours["frame"] == real["frame"]
    for kind in ours["blocks"].keys() & real["blocks"].keys():
        assert ours["blocks"][kind] <= real["blocks"][kind] | _OPTIONAL, kind


#: Deltas whose presence depends on the text of the model, not on the type of block.
_OPTIONAL = {"citations_delta", "thinking_delta", "signature_delta"}


def _shape(events: list[Json]) -> Json:
    """The first and last events by type, and the types of deltas for each type of block."""
    types = [e["type"] for e in events if e["type"] != "ping"]
    blocks: dict[str, set[str]] = {}
    kinds: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_start":
            kinds[event["index"]] = event["content_block"]["type"]
            blocks.setdefault(kinds[event["index"]], set())
        elif event["type"] == "content_block_delta":
            blocks[kinds[event["index"]]].add(event["delta"]["type"])
    return {"frame": [types[0], types[1], *types[-3:]], "blocks": blocks}
