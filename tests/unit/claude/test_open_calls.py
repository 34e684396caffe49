"""Risk: a result that is given to the wrong call, or work that grows with the square of the number of calls."""

from __future__ import annotations

import pytest

from modelmux.claude.conversation import ConversationBuilder
from modelmux.claude.notices import Notices
from modelmux.claude.open_calls import OpenCall, OpenCalls
from modelmux.errors import InvalidRequest
from support.work import assert_linear


def test_calls_of_one_id_are_taken_in_order() -> None:
    calls = OpenCalls([OpenCall("a", "c", "f"), OpenCall("b", "c", "g")])
    assert len(calls) == 2
    assert [calls.take("c"), calls.take("c"), calls.take("c"), calls.take("d")] == ["a", "b", None, None]
    assert not calls
    assert calls.calls == ()


def test_the_only_call_of_a_name_is_taken_whether_it_has_an_id_or_not() -> None:
    calls = OpenCalls(
        [OpenCall("a", "", "f"), OpenCall("b", "", "g"), OpenCall("c", "c", "f"), OpenCall("d", "d", "h")]
    )
    assert calls.take_only(None, with_ids=True) is None
    assert calls.take_only(None, with_ids=False) is None
    assert calls.take_only("f", with_ids=True) is None
    assert calls.take_only("f", with_ids=False) == "a"
    assert calls.take_only("f", with_ids=False) is None
    assert calls.take_only("f", with_ids=True) == "c"
    assert calls.take("c") is None
    assert calls.take_only(None, with_ids=False) == "b"
    assert calls.take_only(None, with_ids=True) == "d"
    assert calls.take_only(None, with_ids=True) is None


def test_the_first_call_of_a_name_without_an_id() -> None:
    calls = OpenCalls([OpenCall("a", "", "f"), OpenCall("b", "", "g"), OpenCall("c", "c", "g")])
    assert [calls.take_first("g"), calls.take_first("g"), calls.take(""), calls.take("")] == ["b", None, "a", None]


def answered(calls: list[tuple[str, str]], results: list[tuple[str | None, str | None]]) -> list[tuple[str, str]]:
    """Calls by id and name, results by id and name: (name of the call, index of its result)."""
    builder = ConversationBuilder(Notices())
    for index, (id, name) in enumerate(calls):
        builder.add_tool_use(id, name, {}, f"calls.{index}")
    for index, (result, tool) in enumerate(results):
        builder.add_tool_result(result, str(index), None, f"results.{index}.id", name=tool)
    turns = builder.finish()
    names = {block.id: block.name for turn in turns for block in turn.content if hasattr(block, "name")}
    found = [block for turn in turns for block in turn.content if hasattr(block, "tool_use_id")]
    return [(names[block.tool_use_id], str(block.content)) for block in found if not block.is_error]


CASES: list[tuple[list[tuple[str, str]], list[tuple[str | None, str | None]], list[tuple[str, str]]]] = [
    ([("", "f")], [(None, None)], [("f", "0")]),
    ([("", "f"), ("", "g")], [(None, "g"), (None, "f")], [("g", "0"), ("f", "1")]),
    ([("", "f"), ("", "g")], [("", "g"), ("", "f")], [("g", "0"), ("f", "1")]),
    ([("", "f"), ("", "f")], [("", None), ("", "f")], [("f", "0"), ("f", "1")]),
    ([("", "f"), ("", "g")], [(None, "g"), (None, None)], [("g", "0"), ("f", "1")]),
    ([("", "f")], [("x", None)], [("f", "0")]),
    ([("", "f"), ("", "g")], [("x", "g"), ("y", None)], [("g", "0"), ("f", "1")]),
    ([("", "f"), ("c", "g")], [("x", None), ("c", None)], [("f", "0"), ("g", "1")]),
    ([("c", "f")], [("function:f", "f")], [("f", "0")]),
    ([("c", "f"), ("d", "g")], [("function:g", "g")], [("g", "0")]),
    ([("function:f", "f")], [(None, None)], [("f", "0")]),
    ([("function:f", "f")], [("x", "f")], [("f", "0")]),
    # no call, or no one call, that it can belong to
    ([("c", "f")], [("x", None)], []),
    ([("", "f"), ("", "f")], [("x", None)], []),
    ([("", "f"), ("c", "g")], [("c", None), ("c", None)], [("g", "0")]),
    ([("c", "f"), ("d", "f")], [("function:f", "f")], []),
]  # fmt: skip


@pytest.mark.parametrize(("calls", "results", "expected"), CASES)
def test_a_result_belongs_to_the_only_call_that_it_can_belong_to(
    calls: list[tuple[str, str]], results: list[tuple[str | None, str | None]], expected: list[tuple[str, str]]
) -> None:
    assert answered(calls, results) == expected


@pytest.mark.parametrize(
    ("calls", "name"),
    [([], None), ([("c", "f"), ("d", "g")], None), ([("", "f"), ("", "f")], "f"), ([("c", "f")], "g")],
)
def test_a_result_that_may_belong_to_several_calls_is_refused(calls: list[tuple[str, str]], name: str | None) -> None:
    with pytest.raises(InvalidRequest, match=r"results\.0\.id") as caught:
        answered(calls, [(None, name)])
    assert caught.value.param == "results.0.id"
    assert "not clear which" in caught.value.public_message


def test_results_in_any_order_cost_linear_work() -> None:
    def reversed_ids(count: int) -> None:
        calls = [(str(index), "f") for index in range(count)]
        assert len(answered(calls, [(id, None) for id, _ in reversed(calls)])) == count

    def reversed_names(count: int) -> None:
        calls = [("", str(index)) for index in range(count)]
        assert len(answered(calls, [(None, name) for _, name in reversed(calls)])) == count

    for run in (reversed_ids, reversed_names):
        assert_linear(run, 500)
