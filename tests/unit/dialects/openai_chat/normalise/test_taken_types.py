"""Risk: an error recommends what is refused next, or leaves out what is taken."""

from __future__ import annotations

import re
from typing import Any

import pytest

from modelmux.dialects.openai_shared.foreign.parts import PART_TYPES, taken_types
from modelmux.errors import InvalidRequest
from support.foreign import told, user
from support.responses_requests import decoded, notices

Json = dict[str, Any]
PNG = "iVBORw0KGgo="
IMAGE, PDF = f"data:image/png;base64,{PNG}", "data:application/pdf;base64,JVBERi0xLjQK"
SOURCE = {"type": "base64", "media_type": "image/png", "data": PNG}
SAMPLES: dict[str, Json] = {
    "text": {"text": "a"}, "input_text": {"text": "a"}, "output_text": {"text": "a"}, "summary_text": {"text": "a"},
    "refusal": {"refusal": "a"}, "image_url": {"image_url": {"url": IMAGE}}, "input_image": {"image_url": IMAGE},
    "image": {"source": SOURCE}, "file": {"file": {"file_data": PDF}}, "input_file": {"file_data": PDF},
    "file_url": {"file_url": PDF}, "document_url": {"document_url": PDF},
    "document": {"source": {"type": "text", "media_type": "text/plain", "data": "a"}},
    "resource": {"resource": {"text": "a"}}, "resource_link": {"uri": "file:///a"},
    "search_result": {"source": "s", "title": "t", "content": [{"type": "text", "text": "a"}]},
    "input_audio": {"input_audio": {"data": "", "format": "wav"}}, "audio": {"data": "", "mimeType": "audio/wav"},
    "thinking": {"thinking": "a", "signature": "s"}, "redacted_thinking": {"data": "a"},
    "reasoning": {"text": "a", "signature": "s"}, "tool_use": {"id": "c2", "name": "f", "input": {}},
    "tool_result": {"tool_use_id": "c", "content": "r"}, "server_tool_use": {"id": "s", "name": "web_search"},
    "web_search_tool_result": {"tool_use_id": "s", "content": []},
}  # fmt: skip
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}
TEXT = {"type": "text", "text": "a"}


def messages(role: str, part: Json) -> list[Json]:
    """A conversation with one part in a message of a role."""
    before = [user("a"), CALL] if part["type"] == "tool_result" and role == "user" else [user("a")]
    own = {"role": role, "content": [part, TEXT] if role == "assistant" else [part]}
    return [own, user("b")] if role in ("system", "developer") else [*before, own, user("b")]


def dropped_or_refused(told_of: Any) -> bool:
    try:
        return any(str(notice).startswith(("dropped", "('dropped'")) for notice in told_of())
    except InvalidRequest:
        return True


@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer"])
@pytest.mark.parametrize("kind", PART_TYPES)
def test_what_an_error_lists_is_taken_in_that_role_and_nothing_else(kind: str, role: str) -> None:
    part = {"type": kind, **SAMPLES[kind]}
    refused = dropped_or_refused(lambda: told({"messages": messages(role, part)}))
    assert (kind in taken_types(role)) is not refused


@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer"])
def test_the_same_in_responses(role: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded({"input": [{"role": role, "content": [{"type": "img"}]}]})
    listed = re.findall(r"[a-z_]+", (caught.value.hint or "").partition("Use one of: ")[2])
    for kind in PART_TYPES:
        items = messages(role, {"type": kind, **SAMPLES[kind]})
        refused = dropped_or_refused(lambda items=items: notices({"input": items}))  # type: ignore[misc]
        assert (kind in listed) is not refused, kind


@pytest.mark.parametrize(
    ("kind", "nearest"),
    [("img", "image"), ("input-text", "input_text"), ("Image_url", "image_url"), ("hologram", None)],
)
def test_the_nearest_type_is_suggested(kind: str, nearest: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        told({"messages": [user({"type": kind})]})
    hint = caught.value.hint or ""
    assert ("Did you mean" in hint) is (nearest is not None)
    assert nearest is None or hint.startswith(f"Did you mean '{nearest}'? Use one of: text, ")
