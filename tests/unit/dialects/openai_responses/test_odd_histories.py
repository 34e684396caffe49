"""Risk: a result that is lost although its call is clear, records of a tool taken for parts, or a choice of web search
that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.dialects.base import DialectOptions
from modelmux.errors import InvalidRequest
from support.responses_requests import SEALER, call, function, notices, output, request_of, turns, user
from support.work import assert_linear

Json = dict[str, Any]
SEARCH: Json = {"type": "web_search"}
ON, OFF = DialectOptions(sealer=SEALER, web_search=True), DialectOptions(sealer=SEALER, web_search=False)


def results(*items: Json) -> list[Any]:
    """The tools' results, errors left out."""
    fields: Json = {"input": [user("a"), *items], "tools": [function("f"), function("g")]}
    blocks = [block for turn in request_of(fields).body.messages for block in turn.content]
    names = {block.id: block.name for block in blocks if hasattr(block, "name")}
    found = [block for block in blocks if hasattr(block, "tool_use_id") and not block.is_error]
    return [(names[block.tool_use_id], block.content) for block in found]


def use(name: str = "f", **fields: Any) -> Json:
    return {"role": "assistant", "content": [{"type": "tool_use", "name": name, "input": {}, **fields}]}


MATCHED: list[tuple[list[Json], list[Any]]] = [
    ([use(), user_result := {"role": "user", "content": [{"type": "tool_result", "content": "r"}]}], [("f", "r")]),
    ([use(id="c"), user_result], [("f", "r")]),
    ([use(), {"role": "tool", "content": "r"}], [("f", "r")]),
    ([use(id="c"), use("g", id="d"), {"role": "function", "name": "g", "content": "r"}], [("g", "r")]),
    ([use(), use("g"), {"role": "tool", "name": "g", "tool_call_id": "x", "content": "r"}], [("g", "r")]),
]


@pytest.mark.parametrize(("items", "expected"), MATCHED)
def test_a_result_without_an_id_finds_its_call(items: list[Json], expected: list[Any]) -> None:
    assert results(*items) == expected


@pytest.mark.parametrize(("item", "field"), [
    (user_result, "input.3.content.0.tool_use_id"), ({"role": "tool", "content": "r"}, "input.3.tool_call_id"),
])  # fmt: skip
def test_a_result_that_may_be_that_of_two_calls_is_refused_by_its_own_name(item: Json, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        results(use(id="c"), use(id="d"), item)
    assert caught.value.param == field


@pytest.mark.parametrize("record", [
    {"type": "text", "value": "x"}, {"type": "file", "name": "a.txt"}, {"type": "image", "id": 1},
    {"type": "document", "source": "wiki"}, {"type": "resource", "id": 1}, {"type": "file", "url": "https://x.example"},
])  # fmt: skip
def test_records_that_a_tool_returns_are_text(record: Json) -> None:
    ((_, content),) = results(call("c1"), output("c1", [record]))
    assert isinstance(content, str)
    assert content.startswith("[{")


def choice(*tools: Json, mode: str = "auto") -> Json:
    return {"tools": [function("f"), SEARCH], "tool_choice": {"type": "allowed_tools", "mode": mode, "tools": [*tools]}}


def test_web_search_may_be_chosen_and_allowed() -> None:
    chosen = request_of({"tools": [SEARCH], "tool_choice": "web_search"}, ON).body.tool_choice
    assert chosen is not None
    assert (chosen.type, chosen.name) == ("tool", "web_search")
    assert request_of(choice(SEARCH), ON).web_search is not None


def test_a_search_that_is_off_may_be_allowed_but_not_required() -> None:
    request = request_of(choice(SEARCH), OFF)
    assert (request.body.tools, request.web_search) == (None, None)
    assert ("dropped", "tools.1") in notices(choice(SEARCH), OFF)
    with pytest.raises(InvalidRequest, match="no tool is available"):
        request_of(choice(SEARCH, mode="required"), OFF)
    with pytest.raises(InvalidRequest, match="No tool is allowed"):
        request_of({**choice(SEARCH), "tools": [function("f")]}, ON)


def test_a_search_that_is_switched_off_is_not_sent() -> None:
    assert request_of({"tools": [{**SEARCH, "enable": False}]}, ON).web_search is None


def test_results_in_reverse_order_cost_linear_work() -> None:
    def converse(count: int) -> None:
        ids = [f"c{index}" for index in range(count)]
        assert len(turns([user("a"), *map(call, ids), *(output(id, "r") for id in reversed(ids))])) == 3

    assert_linear(converse, 300)
