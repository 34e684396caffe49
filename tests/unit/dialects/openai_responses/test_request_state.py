"""Risk: a conversation that is stored, continued or compacted differently from how the client sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.tools import PLACEHOLDER_TOOL
from modelmux.dialects.base import DialectOptions
from modelmux.dialects.openai_responses import compaction as compacting
from modelmux.dialects.openai_responses.entries import MAX_ITEMS
from modelmux.dialects.stored_responses import History, HistoryQuery, StoredItem
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import ToolChoice
from support.responses_requests import (
    OPTIONS,
    SEALER,
    Json,
    assistant,
    call,
    decoded,
    function,
    notices,
    output,
    plan_of,
    prepared,
    reasoning,
    request_of,
    run,
    user,
)

OFF = DialectOptions(SEALER)
REFERENCE = {"type": "item_reference", "id": "msg_1"}


def raw(item: Json) -> bytes:
    return json.dumps(item).encode()


def refused(fields: dict[str, Any], options: DialectOptions = OPTIONS, **rest: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decoded(fields, options, **rest)
    return caught.value


# --- what is stored ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "options", "stored", "shown", "expected"),
    [
        ({}, OPTIONS, True, False, []),
        ({"store": True}, OPTIONS, True, False, []),
        ({"store": True, "include": ["reasoning.encrypted_content"]}, OPTIONS, True, True, []),
        ({"store": False}, OPTIONS, False, True, []),
        ({}, OFF, False, True, []),
        ({"store": True}, OFF, False, True, [("ignored", "store")]),
        ({"store": True}, DialectOptions(stores_responses=True, max_stored_bytes=9), False, True,
         [("ignored", "store")]),
    ],
)  # fmt: skip
def test_what_is_stored_and_told(
    fields: Json, options: DialectOptions, stored: bool, shown: bool, expected: list[Any]
) -> None:
    plan = plan_of(fields, options)
    assert (plan.store, bool(plan.input_items), plan.shows_encrypted) == (stored, stored, shown)
    assert notices(fields, options) == expected


def test_items_are_stored_as_they_came() -> None:
    item = {**user("a"), "id": "msg_1", "odd": 1}
    assert plan_of({"input": [item]}).input_items == (StoredItem("msg_1", raw(item)),)
    (stored,) = plan_of({"input": "hi"}).input_items
    assert json.loads(stored.data) == {"type": "message", "role": "user", "content": "hi"}


def test_ids_are_made_of_content_and_number() -> None:
    items = [user("a"), call(), output(), user("a"), {"role": "user", "content": "x", "id": "msg_1"}]
    items += [{"role": "user", "content": "y", "id": "msg_1"}, {"type": "tool_search_call"}]
    ids = [item.id for item in plan_of({"input": items}).input_items]
    assert [id.partition("_")[0] for id in ids] == ["msg", "fc", "fco", "msg", "msg", "msg", "item"]
    assert len(set(ids)) == len(ids)
    assert ids[:4] == [item.id for item in plan_of({"input": items[:4]}).input_items]


# --- what is looked up ------------------------------------------------------------------------------------------------


def test_a_request_that_refers_to_nothing_is_complete() -> None:
    assert decoded({"input": [user("a")]}).unresolved is None


def test_what_has_to_be_looked_up() -> None:
    bare = {"type": "reasoning", "id": "rs_2", "summary": [], "content": None}
    items = [REFERENCE, {"id": "msg_2"}, REFERENCE, bare, {**reasoning(), "id": "rs_3"}, user("a")]
    result = decoded({"input": items, "previous_response_id": "resp_1"})
    assert result.request is None
    assert result.unresolved is not None
    assert result.unresolved.query == HistoryQuery("resp_1", ("msg_1", "msg_2", "rs_2"))
    assert decoded({"input": [user("a"), bare, assistant("b"), user("c")]}, OFF).unresolved is None


def test_a_conversation_is_continued() -> None:
    history = History((raw(user("a")), raw(assistant("b"))))
    fields = {"input": [{**user("c"), "id": "msg_3"}], "previous_response_id": "resp_1"}
    assert [turn.role for turn in request_of(fields, history=history).body.messages] == ["user", "assistant", "user"]
    plan = plan_of(fields, history=history)
    assert [item.id for item in plan.input_items] == ["msg_3"]
    assert plan.echo.previous_response_id == "resp_1"


def test_a_conversation_may_be_continued_without_items() -> None:
    fields = {"input": [], "previous_response_id": "resp_1"}
    request = request_of(fields, history=History((raw(user("a")),)))
    assert len(request.body.messages) == 1
    compact = {"input": None, "previous_response_id": "resp_1"}
    assert len(request_of(compact, history=History((raw(user("a")),)), compact=True).body.messages) == 1
    assert refused(compact).param == "input"


def test_an_unknown_response() -> None:
    error = refused({"previous_response_id": "resp_1"}, history=History(None))
    assert (error.param, error.code) == ("previous_response_id", "previous_response_not_found")
    assert error.message == "Previous response with id 'resp_1' not found."


def test_references_are_replaced_and_stored_as_what_they_refer_to() -> None:
    history = History(by_id={"msg_1": raw(assistant("b"))})
    fields = {"input": [user("a"), REFERENCE, user("c")]}
    assert [turn.role for turn in request_of(fields, history=history).body.messages] == ["user", "assistant", "user"]
    assert plan_of(fields, history=history).input_items[1] == StoredItem("msg_1", raw(assistant("b")))


def test_an_unknown_item() -> None:
    error = refused({"input": [user("a"), REFERENCE]}, history=History())
    assert (error.param, error.message) == ("input.1", "Item with id 'msg_1' not found.")
    assert "store: false" in str(error.hint)


def test_unknown_reasoning_is_dropped() -> None:
    items = [user("a"), {"type": "item_reference", "id": "rs_1"}, assistant("b"), user("c")]
    assert notices({"input": items}, history=History()) == [("dropped", "input.1")]
    assert len(plan_of({"input": items}, history=History()).input_items) == 3


def test_reasoning_without_content_is_found_by_its_id() -> None:
    bare = {"type": "reasoning", "id": "rs_1", "summary": []}
    items = [user("a"), bare, assistant("b"), user("c")]
    known = History(by_id={"rs_1": raw(reasoning())})
    assert request_of({"input": items}, history=known).thinking_runs == (run(),)
    assert plan_of({"input": items}, history=known).input_items[1] == StoredItem("rs_1", raw(reasoning()))
    for unknown in (History(), History(by_id={"rs_1": raw(user("x"))})):
        assert request_of({"input": items}, history=unknown).thinking_runs == ()
        assert plan_of({"input": items}, history=unknown).input_items[1].data == raw(bare)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"previous_response_id": "resp_1"}, "previous_response_id"), ({"input": [user("a"), REFERENCE]}, "input.1")],
)
def test_nothing_can_be_referred_to_where_nothing_is_stored(fields: Json, param: str) -> None:
    error = refused(fields, OFF)
    assert (error.param, error.message) == (param, "Responses are not stored here.")
    assert "store: false" in str(error.hint)


def test_a_stored_conversation_has_the_same_limit() -> None:
    history = History((raw(user("a")),) * MAX_ITEMS)
    assert refused({"previous_response_id": "resp_1", "input": [user("b")]}, history=history).param == "input"


# --- compaction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("compact", "shown"), [(False, "item"), (True, "object")])
def test_a_summary_instead_of_an_answer(compact: bool, shown: str) -> None:
    items = [user("a"), call(), output()] + ([] if compact else [{"type": "compaction_trigger"}])
    fields = {
        "input": items, "tools": [function(), {"type": "web_search"}], "tool_choice": "required", "store": True,
        "text": {"format": {"type": "json_object"}},
    }  # fmt: skip
    options = DialectOptions(SEALER, stores_responses=True, web_search=True)
    request, plan = request_of(fields, options, compact=compact), plan_of(fields, options, compact=compact)
    last = request.body.messages[-1].content[-1]
    assert (last.text, plan.compaction) == (compacting.INSTRUCTION, shown)
    assert (request.body.tool_choice, len(request.body.tools or ())) == (ToolChoice("none"), 1)
    assert (request.answer_format, request.web_search) == (None, None)
    assert (plan.store, plan.input_items) == (False, ())
    assert ("ignored", "store") in [(notice.action, notice.field) for notice in request.notices]


def test_a_summary_of_calls_whose_tools_are_gone() -> None:
    result = decoded({"input": [user("a"), call(), output()]}, compact=True)
    body = prepared(result, builtin().card("claude-sonnet-4-6")).body
    assert [tool.name for tool in body.tools or ()] == [PLACEHOLDER_TOOL.name]
    assert body.tool_choice == ToolChoice("none")


def test_a_trigger_alone_has_nothing_to_summarise() -> None:
    request = request_of({"input": [{"type": "compaction_trigger"}]})
    assert [block.text for block in request.body.messages[0].content] == [compacting.INSTRUCTION]
