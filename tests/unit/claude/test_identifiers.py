"""Names Vertex AI does not accept are renamed, the same way every time, and two names never become one."""

from __future__ import annotations

import re

import pytest

from modelmux.claude.identifiers import ToolNames, to_valid_identifier
from modelmux.claude.notices import Notices

VALID = ["f", "get_weather", "A-b_9", "x" * 128, "-", "0"]
INVALID = ["", "ns/tool.x", "a b", "über", "x" * 129, "x" * 200, "name\n", "\nname", "a\0b", "函数", "🎉", "a.b", "a:b"]


@pytest.mark.parametrize("name", VALID)
def test_a_valid_name_is_not_touched(name: str) -> None:
    notices = Notices()
    names = ToolNames(notices)
    assert names.upstream(name, "here") == name
    assert (names.originals, notices.items) == ({}, [])


@pytest.mark.parametrize("name", INVALID)
def test_any_other_becomes_valid_and_can_be_mapped_back(name: str) -> None:
    notices = Notices()
    names = ToolNames(notices)
    valid = names.upstream(name, "tools.0.function.name")
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", valid)
    assert names.originals == {valid: name}
    assert [(n.action, n.field) for n in notices.items] == [("changed", "tools.0.function.name")]


def test_the_replacement_is_fixed_for_all_time() -> None:
    assert to_valid_identifier("ns/tool.x") == "ns_tool_x_b88a8f23"
    assert to_valid_identifier("") == "_e3b0c442"
    assert to_valid_identifier("x" * 200) == "x" * 119 + "_aa20c23e"


def test_names_that_would_become_the_same_remain_distinct() -> None:
    names = ["a.b", "a/b", "a b", "a:b", "a_b", "x" * 130 + "1", "x" * 130 + "2"]
    assert len({to_valid_identifier(name) for name in names}) == len(names)


def test_half_a_character_does_not_stop_a_name() -> None:
    assert to_valid_identifier("a\ud800") != to_valid_identifier("a\ud801")
