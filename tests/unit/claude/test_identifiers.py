"""Names Vertex AI refuses are renamed, the same way every time, and never mixed up."""

from __future__ import annotations

import re

import pytest
from modelmux.claude.context import Context

from modelmux.claude.identifiers import clean, tool_name
from support.translation import SONNET

VALID = ["f", "get_weather", "A-b_9", "x" * 128, "-", "0"]
INVALID = ["", "ns/tool.x", "a b", "über", "x" * 129, "x" * 200, "name\n", "\nname", "a\0b", "函数", "🎉", "a.b", "a:b"]


@pytest.mark.parametrize("name", VALID)
def test_a_valid_name_is_not_touched(name: str) -> None:
    ctx = Context(SONNET)
    assert tool_name(name, ctx, "here") == name
    assert (ctx.tool_names, ctx.notices.items) == ({}, [])


@pytest.mark.parametrize("name", INVALID)
def test_any_other_becomes_valid_and_can_be_found_back(name: str) -> None:
    ctx = Context(SONNET)
    cleaned = tool_name(name, ctx, "tools.0.function.name")
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", cleaned)
    assert ctx.tool_names == {cleaned: name}
    assert [(n.action, n.field) for n in ctx.notices.items] == [("changed", "tools.0.function.name")]


def test_the_replacement_is_fixed_for_all_time() -> None:
    assert clean("ns/tool.x") == "ns_tool_x_b88a8f23"
    assert clean("") == "_e3b0c442"
    assert clean("x" * 200) == "x" * 119 + "_aa20c23e"


def test_names_that_would_clean_to_the_same_stay_apart() -> None:
    names = ["a.b", "a/b", "a b", "a:b", "a_b", "x" * 130 + "1", "x" * 130 + "2"]
    assert len({clean(name) for name in names}) == len(names)


def test_half_a_character_does_not_stop_a_name() -> None:
    assert clean("a\ud800") != clean("a\ud801")
