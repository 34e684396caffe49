"""Risk: a result that is given to the wrong call, or work that grows with the square of the number of calls."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


class PlainCalls:
    """The same by looking at every open call."""

    def __init__(self) -> None:
        self.open: list[OpenCall] = []

    def take(self, client_id: str) -> str | None:
        return self.close([call for call in self.open if call.client_id == client_id])

    def take_only(self, name: str | None, with_ids: bool) -> str | None:
        fitting = [c for c in self.open if name in (None, c.name) and (with_ids or not c.has_id)]
        return self.close(fitting) if len(fitting) == 1 else None

    def take_first(self, name: str) -> str | None:
        return self.close([call for call in self.open if call.name == name and not call.has_id])

    def close(self, fitting: list[OpenCall]) -> str | None:
        if not fitting:
            return None
        self.open.remove(fitting[0])
        return fitting[0].id


NAMES = st.sampled_from(["f", "g"])
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(["", "c", "d"]), NAMES),
    st.tuples(st.just("take"), st.sampled_from(["", "c", "d"])),
    st.tuples(st.just("take_only"), st.none() | NAMES, st.booleans()),
    st.tuples(st.just("take_first"), NAMES),
)


@given(st.lists(STEPS, max_size=30))
def test_any_order_of_calls_and_results_takes_the_same_as_a_search_of_all(steps: list[tuple[Any, ...]]) -> None:
    calls, plain = OpenCalls(), PlainCalls()
    for number, (kind, *values) in enumerate(steps):
        if kind == "add":
            calls.add(call := OpenCall(f"call_{number}", *values))
            plain.open.append(call)
        elif kind == "take_only":
            assert calls.take_only(values[0], with_ids=values[1]) == plain.take_only(*values)
        else:
            assert getattr(calls, kind)(*values) == getattr(plain, kind)(*values)
        assert list(calls.calls) == plain.open


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
