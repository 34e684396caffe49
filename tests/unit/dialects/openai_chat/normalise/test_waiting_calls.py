"""Calls without results: a result without an id is given to the wrong call, or a long history takes quadratic time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.dialects.openai_chat.normalise.body import normalise
from modelmux.dialects.openai_chat.normalise.waiting_calls import WaitingCalls
from modelmux.dialects.openai_shared.foreign.rewrite import Rewrite
from modelmux.errors import InvalidRequest
from support.work import assert_linear

_IDS = st.sampled_from(["", "a", "b"])
_NAMES = st.sampled_from(["", "f", "g"])
_STEPS = st.lists(st.tuples(st.just("add"), _IDS, _NAMES) | st.tuples(st.just("answer"), _IDS, st.just("")), max_size=8)


@given(_STEPS)
def test_the_only_call_is_found_as_in_a_list(steps: list[tuple[str, str, str]]) -> None:
    waiting, calls = WaitingCalls(), list[tuple[str, str]]()
    for step, id, name in steps:
        if step == "add":
            waiting.add(id, name)
            calls.append((id, name))
        else:
            waiting.answer(id)
            calls = [call for call in calls if call[0] != id]
        for wanted in (None, "", "f", "g"):
            found = [i for i, called in calls if wanted is None or called == wanted]
            assert waiting.only(wanted) == (found[0] or None if len(found) == 1 else None)


def test_many_calls_and_results_take_linear_time() -> None:
    def run(count: int) -> None:
        calls = [{"id": f"c{i}", "function": {"name": "f", "arguments": "{}"}} for i in range(count)]
        results: list[Any] = [{"role": "tool", "tool_call_id": f"c{i}", "content": "x"} for i in range(count)]
        normalise({"messages": [{"role": "assistant", "tool_calls": calls}, *results]}, Rewrite())

    assert_linear(run, 200)


def test_a_call_needs_no_id_but_a_name() -> None:
    call = {"function": {"name": "f", "arguments": "{}"}}
    body = normalise({"messages": [{"role": "assistant", "tool_calls": [call]}]}, Rewrite())
    assert body["messages"][0]["tool_calls"] == [{"type": "function", **call}]
    with pytest.raises(InvalidRequest) as caught:
        normalise({"messages": [{"role": "assistant", "tool_calls": [call, {"id": "x"}]}]}, Rewrite())
    assert caught.value.param == "messages.0.tool_calls.1.name"
