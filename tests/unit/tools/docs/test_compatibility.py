"""The generated page says what the tables say, and the tables are complete."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelmux.catalog import builtin
from modelmux.dialects.openai_chat.field_support import FIELD_SUPPORT
from modelmux.dialects.openai_responses.field_support import FIELD_SUPPORT as RESPONSES_FIELDS
from modelmux.dialects.openai_responses.field_support import INCLUDE_SUPPORT
from modelmux.dialects.openai_responses.item_support import ITEM_SUPPORT, PART_SUPPORT
from modelmux.dialects.openai_responses.tool_support import TOOL_SUPPORT
from modelmux.wire.openai.chat_request import ChatRequest

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.compatibility import render

PAGE = Path(__file__).resolve().parents[4] / "docs" / "compatibility.md"


def test_the_page_is_what_the_tables_say() -> None:
    assert PAGE.read_text("utf-8") == render(), "run `make docs`"


def test_every_field_has_a_fate_and_every_model_a_row() -> None:
    assert set(FIELD_SUPPORT) == set(ChatRequest.__struct_fields__)
    for name in FIELD_SUPPORT:
        assert f"| `{name}` |" in render()
    for table in (RESPONSES_FIELDS, INCLUDE_SUPPORT, ITEM_SUPPORT, PART_SUPPORT, TOOL_SUPPORT):
        for name in table:
            assert f"| `{name}` |" in render().partition("## OpenAI Responses")[2]
    for card in builtin().cards:
        assert f"| `{card.id}` |" in render()
