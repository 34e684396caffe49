"""Every field, item, part and tool of the official SDK has a row that says what becomes of it."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from openai.types.responses import response_create_params as create
from openai.types.responses.response_function_call_output_item_param import ResponseFunctionCallOutputItemParam
from openai.types.responses.response_includable import ResponseIncludable
from openai.types.responses.response_input_audio_param import ResponseInputAudioParam
from openai.types.responses.response_input_content_param import ResponseInputContentParam
from openai.types.responses.response_input_item_param import ResponseInputItemParam
from openai.types.responses.response_output_message_param import Content as OutputContent
from openai.types.responses.tool_param import ToolParam

from modelmux.dialects.openai_responses.field_support import FIELD_SUPPORT, INCLUDE_SUPPORT
from modelmux.dialects.openai_responses.item_support import ITEM_SUPPORT, NEVER_LAST, PART_SUPPORT
from modelmux.dialects.openai_responses.items import ItemTranslator
from modelmux.dialects.openai_responses.tool_support import TOOL_SUPPORT
from modelmux.dialects.openai_shared.support import FieldSupport
from modelmux.dialects.openai_shared.web_search import is_web_search
from modelmux.wire.openai.responses_items import PART_TYPES
from modelmux.wire.openai.responses_request import ResponsesRequest

#: Known from clients, and not part of the SDK's types.
EXTRA_FIELDS = {"client_metadata", "stream_id", "generate", "messages"}
EXTRA_ITEMS = {"agent_message"}
EXTRA_PARTS = {"text"}


def literals(hint: Any) -> set[str]:
    """All texts that a type hint allows, inside ``Required``, ``Optional`` and unions."""
    if get_origin(hint) is Literal:
        return {value for value in get_args(hint) if isinstance(value, str)}
    return set().union(*(literals(inner) for inner in get_args(hint)))


def types_of(union: Any) -> set[str]:
    """The values of ``type`` of each member of a union of typed dictionaries."""
    members = get_args(union) or (union,)
    return set().union(*(literals(get_type_hints(member, include_extras=True)["type"]) for member in members))


def test_every_field() -> None:
    ours, theirs = set(FIELD_SUPPORT), set(get_type_hints(create.ResponseCreateParamsBase)) | {"stream"}
    assert theirs - ours == set(), "fields of the SDK that no row explains"
    assert ours == set(ResponsesRequest.__struct_fields__)
    assert ours >= EXTRA_FIELDS


def test_every_type_of_item() -> None:
    theirs = types_of(ResponseInputItemParam)
    assert theirs - set(ITEM_SUPPORT) == set(), "items of the SDK that no row explains"
    assert set(ITEM_SUPPORT) >= EXTRA_ITEMS
    handled = {name for name, row in ITEM_SUPPORT.items() if row.kind in ("mapped", "emulated")}
    assert handled == set(ItemTranslator.HANDLERS) | {"reasoning", "item_reference"}
    assert {name for name, row in ITEM_SUPPORT.items() if row.kind == "ignored"} >= NEVER_LAST


def test_every_type_of_part() -> None:
    unions = (ResponseInputContentParam, ResponseFunctionCallOutputItemParam, OutputContent, ResponseInputAudioParam)
    theirs = set().union(*(types_of(union) for union in unions))
    assert theirs - set(PART_SUPPORT) == set(), "parts of the SDK that no row explains"
    assert set(PART_SUPPORT) == set(PART_TYPES)
    assert set(PART_SUPPORT) >= EXTRA_PARTS


def test_every_type_of_tool() -> None:
    theirs = types_of(ToolParam)
    assert theirs - set(TOOL_SUPPORT) == set(), "tools of the SDK that no row explains"
    assert theirs >= {"web_search", "web_search_preview"}
    assert all(is_web_search(kind) for kind in TOOL_SUPPORT if "web_search" in kind)


def test_everything_that_can_be_included() -> None:
    assert literals(ResponseIncludable) - set(INCLUDE_SUPPORT) == set(), "members of the SDK that no row explains"


@pytest.mark.parametrize("table", [FIELD_SUPPORT, ITEM_SUPPORT, PART_SUPPORT, TOOL_SUPPORT, INCLUDE_SUPPORT])
def test_every_row_explains(table: dict[str, FieldSupport]) -> None:
    assert [name for name, row in table.items() if not row.explanation.endswith(".")] == []
