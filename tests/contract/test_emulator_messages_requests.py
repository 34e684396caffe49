"""Real requests of Claude Code and the SDKs in Vertex mode: accepted, or refused for a reason that is listed here."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

import pytest

from modelmux.emulator import EmulatorSettings, create_emulator
from support.emulator_calls import EmulatorReply, Json, send, with_fable_5_2
from support.recordings import FOLDER, load

#: What each request is refused for, with the message of the refusal; the files are named without prefix and hash.
REFUSED: Final = {
    # AnthropicVertex sends these to Sonnet 4.5, which has neither adaptive thinking nor effort.
    "anthropic-vertex-python-beta-binding-controls": "adaptive thinking is not supported on this model",
    "anthropic-vertex-python-beta-redacted-thinking-replay": "adaptive thinking is not supported on this model",
    "anthropic-vertex-python-tool-round-trip": "adaptive thinking is not supported on this model",
    "anthropic-vertex-python-beta-task-budget-effort": "output_config.effort: Extra inputs are not permitted",
    # Features that Vertex AI does not have: the beta is refused first.
    "anthropic-vertex-python-beta-fallbacks": "`server-side-fallback-2026-07-01` for the `anthropic-beta` header",
    "anthropic-vertex-python-beta-fast-geo-tier": "`fast-mode-2026-02-01` for the `anthropic-beta` header",
    "anthropic-vertex-python-beta-files-source": "`files-api-2025-04-14` for the `anthropic-beta` header",
    "anthropic-vertex-python-beta-mcp-connector": "`mcp-client-2025-11-20` for the `anthropic-beta` header",
    "anthropic-vertex-python-beta-skills-container": "`code-execution-2025-08-25`, `skills-2025-10-02` for the",
    "anthropic-vertex-python-beta-tool-search": "`advanced-tool-use-2025-11-20` for the `anthropic-beta` header",
    "anthropic-vertex-python-beta-web-fetch": "`web-fetch-2025-09-10` for the `anthropic-beta` header",
    "anthropic-vertex-python-unicode-and-odd-json": "x_unknown_field: Extra inputs are not permitted",
    # Token counting accepts neither betas nor names with a version.
    "anthropic-vertex-js-beta-count-tokens": "`interleaved-thinking-2025-05-14`, `token-counting-2024-11-01` for the",
    "anthropic-vertex-python-beta-count-tokens": "claude-sonnet-4-5@20250929 is not supported for token counting",
}
#: What is left of those once the beta is gone: the field is refused by name. The beta of tool search has another name.
WITHOUT_BETAS: Final = {
    "anthropic-vertex-python-beta-fallbacks": "fallbacks: Extra inputs are not permitted",
    "anthropic-vertex-python-beta-fast-geo-tier": "inference_geo: Extra inputs are not permitted",
    "anthropic-vertex-python-beta-files-source": "messages.0.content.0.document.source: Input tag 'file' found",
    "anthropic-vertex-python-beta-mcp-connector": "mcp_servers: Extra inputs are not permitted",
    "anthropic-vertex-python-beta-skills-container": "container: Extra inputs are not permitted",
    "anthropic-vertex-python-beta-tool-search": "tools.0: Input tag 'tool_search_tool_regex_20251119' found",
    "anthropic-vertex-python-beta-web-fetch": "tools.0: Input tag 'web_fetch_20250910' found",
    "anthropic-vertex-python-beta-compact": "context_management: Extra inputs are not permitted",
    "anthropic-vertex-python-beta-context-management": "context_management: Extra inputs are not permitted",
    "anthropic-vertex-python-beta-computer-use": "tools.0: Input tag 'computer_20251124' found",
}
#: A signature in the form of the real service. The clients' were made by the stub that they were recorded with.
SIGNATURE: Final = base64.b64encode(b"\x12" + bytes(range(120))).decode()


APP: Final = create_emulator(EmulatorSettings(tokens_per_second=0), catalog=with_fable_5_2())


def _name(recording: Json) -> str:
    return re.sub(r"^mreq-|-[0-9a-f]{6}$", "", str(recording["id"]))


def messages_requests(*surfaces: str) -> list[Any]:
    """pytest parameters: one for each recorded request to one of these surfaces, or a single skipped one."""
    paths = sorted((FOLDER.parent / "messages_requests").glob("*.json"))
    params = [pytest.param(load(path), id=path.stem) for path in paths if load(path)["surface"] in surfaces]
    return params or [pytest.param({}, marks=pytest.mark.skip(reason="the recorded traffic (../shared) is not here"))]


def _with_real_signatures(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_real_signatures(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {key: _with_real_signatures(inner) for key, inner in value.items()}
    if fields.get("type") in ("thinking", "redacted_thinking"):
        fields["signature" if fields["type"] == "thinking" else "data"] = SIGNATURE
    return fields


async def _replay(recording: Json, *, betas: bool = True) -> EmulatorReply:
    kept = ("content-type", "anthropic-version", *(("anthropic-beta",) if betas else ()))
    headers = {k: v for k, v in recording["request_headers"].items() if k.lower() in kept}
    body = json.dumps(_with_real_signatures(recording["request"])).encode()
    path = str(recording["endpoint"])
    return await send(APP, "POST", path, body, {**headers, "authorization": "Bearer token"})


@pytest.mark.parametrize("recording", messages_requests("vertex", "vertex_count_tokens"))
async def test_a_real_request_is_accepted_or_refused_for_its_listed_reason(recording: Json) -> None:
    answer = await _replay(recording)
    reason = REFUSED.get(_name(recording))
    if reason is not None:
        assert answer.status == 400, answer.body
        assert reason in answer.message
        return
    assert answer.status == 200, answer.body
    if recording["request"].get("stream"):
        assert [name for name, _ in answer.events][-1] == "message_stop"


@pytest.mark.parametrize("recording", messages_requests("vertex"))
async def test_a_field_without_its_beta_is_refused_by_name(recording: Json) -> None:
    if _name(recording) not in WITHOUT_BETAS:
        pytest.skip("not a request with such a field")
    answer = await _replay(recording, betas=False)
    assert answer.status == 400
    assert answer.message.startswith(WITHOUT_BETAS[_name(recording)])


@pytest.mark.parametrize("recording", messages_requests("vertex_count_tokens"))
async def test_tokens_are_counted_once_betas_and_versions_are_removed(recording: Json) -> None:
    model = str(recording["request"]["model"]).partition("@")[0]
    answer = await _replay({**recording, "request": {**recording["request"], "model": model}}, betas=False)
    assert answer.status == 200, answer.body
    assert answer.json["input_tokens"] > 0


def test_every_listed_reason_is_of_a_recorded_request() -> None:
    requests = [param.values[0] for param in messages_requests("vertex", "vertex_count_tokens")]
    if requests == [{}]:
        pytest.skip("the recorded traffic (../shared) is not here")
    names = {_name(request) for request in requests}
    assert (REFUSED.keys() | WITHOUT_BETAS.keys()) - names == set()
