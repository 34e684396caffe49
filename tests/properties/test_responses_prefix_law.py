"""Laws R3 and R7 of the Responses API: translation is append-only, and the same whether a client sends the items of a
conversation, references to them, or the id of the response that ends it. What is sent upstream is legal."""

from __future__ import annotations

import json

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelmux.catalog import ModelCard, builtin
from modelmux.claude.options import Options
from modelmux.claude.prefix import first_difference
from modelmux.dialects.base import DialectOptions
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.stored_responses import History
from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.validation.validate import validate_request
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import MessagesRequest, encode_request
from support.responses_conversations import TOOLS, conversations
from support.responses_requests import OPTIONS, SEALER, Json, decoded, prepared

CARDS = st.sampled_from(list(builtin().cards))
LENIENT = Options(forced_tool_choice="downgrade", prefill="continue")
HOSTED = DialectOptions(SEALER, stores_responses=True, web_search=True)


def translate(items: list[Json], card: ModelCard, options: Options = LENIENT, **fields: object) -> MessagesRequest:
    """The body for a whole conversation; unknown ids are not stored anywhere."""
    return prepared(decoded({"input": items, "tools": TOOLS, **fields}, history=History()), card, options).body


@given(conversations(own=True), CARDS)
def test_a_longer_conversation_extends_the_shorter(items: list[Json], card: ModelCard) -> None:
    """At every point where a client has asked: before each answer, and at the end."""
    cuts = [i for i in range(1, len(items)) if _is_answer(items, i)]
    earlier: MessagesRequest | None = None
    for end in [*cuts, len(items)]:
        try:
            now = translate(items[:end], card, Options())
        except InvalidRequest as error:
            assert error.param
            earlier = None
            continue
        if earlier is not None:
            assert first_difference(_without_tools(earlier), _without_tools(now)) is None
            assert json.dumps(_names(now)).startswith(json.dumps(_names(earlier)).rstrip("]"))
        earlier = now


def _is_answer(items: list[Json], index: int) -> bool:
    """The first item of the assistant after a user-side one, with no call open."""
    item, before = items[index], items[index - 1]
    if item.get("role") != "assistant" and item.get("type") not in ("reasoning", "function_call", "custom_tool_call"):
        return False
    if before.get("role") != "user" and not str(before.get("type")).endswith("_output"):
        return False
    open_calls: list[str] = []
    for earlier in items[:index]:
        kind = str(earlier.get("type"))
        if kind.endswith("_call") and "call_id" in earlier:
            open_calls.append(earlier["call_id"])
        elif kind.endswith("_output") and earlier.get("call_id") in open_calls:
            open_calls.remove(earlier["call_id"])
    return not open_calls


def _without_tools(body: MessagesRequest) -> MessagesRequest:
    return replace(body, tools=None)


def _names(body: MessagesRequest) -> list[str]:
    return [tool.name for tool in body.tools or ()]


@given(conversations(), CARDS, st.booleans())
def test_what_is_sent_is_legal_and_the_same_twice(items: list[Json], card: ModelCard, compact: bool) -> None:
    fields = {"input": items, "tools": TOOLS}
    try:
        first = prepared(decoded(fields, HOSTED, history=History(), compact=compact), card, LENIENT)
    except InvalidRequest as error:
        assert error.param
        return
    encoded = encode_request(first.body)
    again = prepared(decoded(fields, HOSTED, history=History(), compact=compact), card, LENIENT)
    assert encode_request(again.body) == encoded
    validate_request(
        EmulatedCall(
            project="p", location="global", model=card.id, card=card, body=json.loads(encoded),
            betas=frozenset(first.betas),
        )
    )  # fmt: skip


@given(conversations(), CARDS, st.data())
def test_inline_references_and_previous_response_are_the_same_upstream(
    items: list[Json], card: ModelCard, data: st.DataObject
) -> None:
    items = [item if item.get("id") else {**item, "id": f"item_{index}"} for index, item in enumerate(items)]
    items = [{**item, "id": f"{item['id']}_{index}"} for index, item in enumerate(items)]
    cut = data.draw(st.integers(0, len(items) - 1), label="stored items")
    raws = {item["id"]: json.dumps(item).encode() for item in items}
    fields = {"tools": TOOLS, "instructions": "Be brief."}
    try:
        inline = decoded({**fields, "input": items}, history=History(by_id=raws))
        expected = encode_request(prepared(inline, card, LENIENT).body)
    except InvalidRequest:
        assume(False)
        return
    references = [{"type": "item_reference", "id": item["id"]} if data.draw(st.booleans()) else item for item in items]
    by_reference = decoded({**fields, "input": references}, history=History(by_id=raws))
    assert encode_request(prepared(by_reference, card, LENIENT).body) == expected
    stored = _stored(inline.plan)
    assert stored == _stored(by_reference.plan), "a later request finds the same items"
    before = tuple(data for _, data in stored[:cut])
    continued = decoded(
        {**fields, "input": items[cut:], "previous_response_id": "resp_9"}, history=History(before, raws)
    )
    assert encode_request(prepared(continued, card, LENIENT).body) == expected
    assert _stored(continued.plan) == stored[cut:], "only its own items are stored again"


def _stored(plan: object) -> list[tuple[str, bytes]]:
    assert isinstance(plan, ResponsesPlan)
    assert plan.store
    return [(item.id, item.data) for item in plan.input_items]


@given(conversations())
def test_a_repeated_history_is_the_same_items(items: list[Json]) -> None:
    """Also without ids: so that a store keeps each item once."""
    items = [{name: value for name, value in item.items() if name != "id"} for item in items]
    try:
        shorter = decoded({"input": items[:-1] or items, "tools": TOOLS}, OPTIONS).plan
        longer = decoded({"input": items, "tools": TOOLS}, OPTIONS).plan
    except InvalidRequest:
        assume(False)
        return
    before, after = _stored(shorter), _stored(longer)
    assert after[: len(before)] == before
    assert len({id for id, _ in after}) == len(after)
