"""Risk: an error that sends a client away from what works, or does not say what does."""

from __future__ import annotations

import pytest

from modelmux.errors import InvalidRequest
from support.foreign import prepared


def refused(kind: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        prepared({"tools": [{"type": kind, "name": "x"}]})
    assert (caught.value.param, "function, custom, web_search" in (caught.value.hint or "")) == ("tools.0.type", True)
    return caught.value


@pytest.mark.parametrize("kind", [
    "bash_20250124", "bash_20241022", "text_editor_20250728", "text_editor_20250124", "computer_20251124",
    "computer_20250124", "memory_20250818", "memory", "tool_search_tool_regex_20251119", "tool_search_tool_bm25",
])  # fmt: skip
def test_tools_that_messages_takes_name_it(kind: str) -> None:
    error = refused(kind)
    assert "/v1/messages" in (error.hint or "")
    assert error.message == f"Chat Completions has no tools of type '{kind}'."


@pytest.mark.parametrize(("kind", "meant"), [
    ("websearch", "web_search"), ("WebSearch", "web_search"), ("web-search", "web_search"),
    ("web_serach", "web_search"), ("web search", "web_search"), ("functions", "function"), ("Function", "function"),
    ("customs", "custom"),
])  # fmt: skip
def test_a_type_that_is_nearly_one_is_suggested(kind: str, meant: str) -> None:
    error = refused(kind)
    assert error.hint == f"Did you mean '{meant}'? Use one of: function, custom, web_search."


@pytest.mark.parametrize("kind", ["mcp", "file_search", "web_fetch_20250910", "code_interpreter", "web_search" * 900])
def test_other_types_are_not_taken_for_one(kind: str) -> None:
    error = refused(kind)
    assert "Did you mean" not in (error.hint or "")
    assert "/v1/messages" not in (error.hint or "")
    assert len(error.message) < 100
