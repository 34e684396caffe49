"""Large lists as structs, in slices: one call for all of them delays all other requests."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from modelmux.wire.openai import chat_request as chat
from modelmux.wire.openai import sliced_list
from modelmux.wire.openai.chat_request import ChatMessage, Part, Tool
from modelmux.wire.openai.sliced_list import GROUP, SlicedList

TURN = {"role": "user", "content": [{"type": "text", "text": "word " * 9}]}
TURNS: list[Any] = [
    TURN, {"role": "assistant", "content": "x"}, {"role": "user", "content": TURN["content"] * 2_500},
    {"role": "user", "content": "x\n" * 200_000}, {"role": "assistant", "content": None}, *[TURN] * 3_000,
]  # fmt: skip


def converted(value: Any, kind: Any) -> Any:
    return msgspec.convert(value, kind)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages and parts each call converts."""
    counted: list[int] = []

    def convert(value: Any, kind: Any) -> Any:
        items = value if isinstance(value, list) else [value]
        counted.append(sum(1 + len(sliced_list._content(item)) for item in items))
        return converted(value, kind)

    class Msgspec:
        json = msgspec.json

    Msgspec.convert = staticmethod(convert)  # type: ignore[attr-defined]
    monkeypatch.setattr(sliced_list, "msgspec", Msgspec)
    return counted


def test_no_call_converts_more_than_a_group(sizes: list[int]) -> None:
    assert SlicedList(ChatMessage, Part).convert(TURNS) == msgspec.convert(TURNS, list[ChatMessage])
    assert sum(sizes) > 8_000
    assert max(sizes) <= GROUP


def test_a_long_message_of_a_request_is_decoded_so(sizes: list[int]) -> None:
    value = {"model": "m", "messages": TURNS}
    assert chat.decode_plain(json.dumps(value).encode()) == msgspec.convert(value, chat.ChatRequest)
    assert max(sizes) <= GROUP


def test_a_long_tool_too() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"enum": ["x"] * 50_000}}}
    value = {"model": "m", "messages": [TURN], "tools": [tool, tool]}
    assert chat.decode_plain(json.dumps(value).encode()) == msgspec.convert(value, chat.ChatRequest)


@pytest.mark.parametrize("values", [[], [TURN], TURNS])
def test_a_large_request_with_unknown_fields_is_the_same(values: list[Any]) -> None:
    value = {"model": "m", "messages": values, "tools": []}
    expected = msgspec.convert(value, chat.ChatRequest)
    assert chat.convert_request({**value, "zz": 1}, is_large=True) == (expected, ["zz"])


@pytest.mark.parametrize("wrong", [5, {"role": "user", "content": [*TURN["content"] * 2_000, 5]}])
def test_an_error_names_its_place(wrong: Any) -> None:
    with pytest.raises(Exception, match=r"messages\.4000"):
        chat.convert_request({"model": "m", "messages": [TURN] * 4_000 + [wrong]}, is_large=True)


def test_a_list_without_parts() -> None:
    with pytest.raises(msgspec.ValidationError):
        SlicedList(Tool).convert([{"content": [1] * GROUP}])
