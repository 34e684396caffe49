"""Conversations: whatever order a client sends, Anthropic gets turns it accepts, and nothing is lost (E40 to E47).

Turns are written short: a text as itself, a call as ``call ID NAME INPUT``, a result as ``result ID CONTENT``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.conversation import BEGIN, NO_RESULT
from modelmux.claude.options import Options
from modelmux.claude.prefill import CONTINUE
from modelmux.dialects.openai_shared.user_id import user_id
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import encode_request
from support.translation import PREFILL, SONNET, notices, sent, translate
from support.work import assert_linear

#: Takes system messages in the middle.
NATIVE = builtin().card("claude-opus-4-8")
GONE = f"result! {{}} {json.dumps(NO_RESULT)}"
ORPHAN = "Result of a tool call that is not part of this conversation:"


def user(content: Any = "q", **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def system(content: Any = "s") -> dict[str, Any]:
    return {"role": "system", "content": content}


def answer(content: Any = None, *calls: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {}), **fields}


def call(id: str, arguments: Any = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(id: str, content: Any = "r") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def short(block: dict[str, Any]) -> str:
    if block["type"] == "text":
        return str(block["text"])
    if block["type"] == "tool_use":
        return f"call {block['id']} {block['name']} {json.dumps(block['input'])}"
    mark = "!" if block.get("is_error") else ""
    return f"result{mark} {block['tool_use_id']} {json.dumps(block.get('content'))}"


def turns(messages: list[dict[str, Any]], card: Any = SONNET, options: Options | None = None) -> list[tuple[str, ...]]:
    body = sent({"messages": messages}, card, options)
    return [(m["role"], *map(short, m["content"])) for m in body["messages"]]


SCRIPTS: list[tuple[str, list[dict[str, Any]], list[tuple[str, ...]]]] = [
    ("a question", [user()], [("user", "q")]),
    ("question, answer, question", [user("1"), answer("2"), user("3")],
     [("user", "1"), ("assistant", "2"), ("user", "3")]),
    ("users in a row are one turn", [user("1"), user("2")], [("user", "1", "2")]),
    ("answers in a row are one turn", [user("1"), answer("2"), answer("3"), user("4")],
     [("user", "1"), ("assistant", "2", "3"), ("user", "4")]),
    ("an answer first", [answer("1"), user("2")], [("user", BEGIN), ("assistant", "1"), ("user", "2")]),
    ("system alone", [system()], [("user", BEGIN)]),
    ("an empty answer alone", [answer("")], [("user", BEGIN)]),
    ("text and calls of one answer both survive", [user(), answer("so", call("a")), tool("a")],
     [("user", "q"), ("assistant", "so", 'call a f {}'), ("user", 'result a "r"')]),
    ("results come first, in the order they came, then text",
     [user(), answer(None, call("a"), call("b"), call("c")), tool("c", "3"), user("and"), tool("a", "1"),
      tool("b", "2"), user("now")],
     [("user", "q"), ("assistant", "call a f {}", "call b f {}", "call c f {}"),
      ("user", 'result c "3"', 'result a "1"', 'result b "2"', "and", "now")]),
    ("calls spread over answers", [user(), answer(None, call("a")), answer("x", call("b")), tool("b"), tool("a")],
     [("user", "q"), ("assistant", "call a f {}", "x", "call b f {}"), ("user", 'result b "r"', 'result a "r"')]),
    ("a call never answered",
     [user(), answer(None, call("a"), call("b")), tool("b"), user("x"), answer("y"), user("z")],
     [("user", "q"), ("assistant", "call a f {}", "call b f {}"), ("user", 'result b "r"', GONE.format("a"), "x"),
      ("assistant", "y"), ("user", "z")]),
    ("a call never answered at the end", [user(), answer(None, call("a"))],
     [("user", "q"), ("assistant", "call a f {}"), ("user", GONE.format("a"))]),
    ("a result too late is text", [user(), answer(None, call("a")), user("x"), answer("y"), tool("a")],
     [("user", "q"), ("assistant", "call a f {}"), ("user", GONE.format("a"), "x"), ("assistant", "y"),
      ("user", ORPHAN, "r")]),
    ("an empty answer settles what stands before it",
     [user(), answer(None, call("a")), user("x"), answer(""), tool("a")],
     [("user", "q"), ("assistant", "call a f {}"), ("user", GONE.format("a"), "x", ORPHAN, "r")]),
    ("a result without a call is text", [user(), tool("z", "r1"), tool("z", [part("r2")]), tool("z", "")],
     [("user", "q", ORPHAN, "r1", ORPHAN, "r2", ORPHAN)]),
    ("a second result of one call is text", [user(), answer(None, call("a")), tool("a", "1"), tool("a", "2")],
     [("user", "q"), ("assistant", "call a f {}"), ("user", 'result a "1"', ORPHAN, "2")]),
    ("equal ids are told apart, in order", [user(), answer(None, call("a"), call("a")), tool("a", "1"), tool("a", "2"),
                                            answer(None, call("a")), tool("a", "3")],
     [("user", "q"), ("assistant", "call a f {}", "call a_2 f {}"), ("user", 'result a "1"', 'result a_2 "2"'),
      ("assistant", "call a_3 f {}"), ("user", 'result a_3 "3"')]),
    ("ids that look like ours",
     [user(), answer(None, *map(call, ["a_2", "a", "a", "", "call_3", ""])),
      *map(tool, ["a_2", "a", "a", "", "call_3", ""])],
     [("user", "q"), ("assistant", "call a_2 f {}", "call a f {}", "call a_3 f {}", "call call_3 f {}",
                      "call call_3_2 f {}", "call call_5 f {}"),
      ("user", 'result a_2 "r"', 'result a "r"', 'result a_3 "r"', 'result call_3 "r"', 'result call_3_2 "r"',
       'result call_5 "r"')]),
    ("ids Vertex refuses", [user(), answer(None, call("fn.x:0")), tool("fn.x:0")],
     [("user", "q"), ("assistant", "call fn_x_0_545a1e9d f {}"), ("user", 'result fn_x_0_545a1e9d "r"')]),
    ("empty and several results", [user(), answer(None, *map(call, "abc")), tool("a", ""), tool("b", None),
                                   tool("c", [part("1"), part("2")])],
     [("user", "q"), ("assistant", "call a f {}", "call b f {}", "call c f {}"),
      ("user", "result a null", "result b null",
       'result c [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]')]),
    ("blank text is left out", [user([part(" "), part("a")]), answer(" \n"),
                                answer([part(""), {"type": "refusal", "refusal": "no"}]), user("b")],
     [("user", "a"), ("assistant", "no"), ("user", "b")]),
    ("a refusal is text", [user(), answer(None, refusal="I will not."), answer("x", refusal=" "), user("b")],
     [("user", "q"), ("assistant", "I will not.", "x"), ("user", "b")]),
    ("custom calls", [user(), answer(None, {"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}),
                      tool("a")],
     [("user", "q"), ("assistant", 'call a sh {"input": "ls"}'), ("user", 'result a "r"')]),
    ("legacy functions", [user(), answer(None, function_call={"name": "g", "arguments": '{"x":1}'}),
                          {"role": "function", "name": "g", "content": "1"},
                          answer(None, function_call={"name": "g"}), {"role": "function", "name": "h", "content": "2"}],
     [("user", "q"), ("assistant", 'call call_0 g {"x": 1}'), ("user", 'result call_0 "1"'),
      ("assistant", "call call_1 g {}"), ("user", GONE.format("call_1"), ORPHAN, "2")]),
    ("a name that is none", [user(), answer(None, call("a", name="ns/f")), tool("a")],
     [("user", "q"), ("assistant", "call a ns_f_8f5d8a00 {}"), ("user", 'result a "r"')]),
    ("other providers' thinking is not text", [user(), answer([{"type": "thinking", "thinking": "hm"}, {
        "type": "text", "text": "x"}, {"type": "redacted_thinking", "data": ""}]), user("b")],
     [("user", "q"), ("assistant", "x"), ("user", "b")]),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "expected"), [s[1:] for s in SCRIPTS], ids=[s[0] for s in SCRIPTS])
def test_conversation(messages: list[dict[str, Any]], expected: list[tuple[str, ...]]) -> None:
    assert turns(messages) == expected


ARGUMENTS: list[tuple[Any, str, bool]] = [
    ('{"b": 1, "a": {"z": [1.5, null]}}', '{"b": 1, "a": {"z": [1.5, null]}}', False),
    ("", "{}", False),
    (" \n", "{}", False),
    (None, "{}", False),
    ("null", "{}", False),
    ("{}", "{}", False),
    ("[]", '{"arguments": []}', True),
    ('"text"', '{"arguments": "text"}', True),
    ("7", '{"arguments": 7}', True),
    ("not json", '{"arguments": "not json"}', True),
    ('{"cut": ', '{"arguments": "{\\"cut\\": "}', True),
    ('{"a": 1e400}', '{"arguments": "{\\"a\\": 1e400}"}', True),
    ('{"a": NaN}', '{"arguments": "{\\"a\\": NaN}"}', True),
    ('{"a": 1, "a": 2}', '{"a": 2}', False),
    ('{"a": 1' + "0" * 400 + "}", '{"a": 1' + "0" * 400 + "}", False),
    ("[" * 100_000, json.dumps({"arguments": "[" * 100_000}), True),
]


@pytest.mark.parametrize(("arguments", "value", "said"), ARGUMENTS)
def test_arguments_are_an_object_and_never_lost(arguments: Any, value: str, said: bool) -> None:
    messages = [user(), answer(None, call("a", arguments)), tool("a")]
    assert turns(messages)[1] == ("assistant", f"call a f {value}")
    found = [n for n in notices({"messages": messages}) if n[1] == "messages.1.tool_calls.0.function.arguments"]
    assert found == ([("changed", "messages.1.tool_calls.0.function.arguments")] if said else [])


def test_arguments_at_the_edge_of_what_can_be_decoded_never_break_the_encoding() -> None:
    refused = 0
    for depth in range(900, 1010):
        deep = call("a", '{"a":' * depth + "1" + "}" * depth)
        translated = translate({"messages": [user(), answer(None, deep), tool("a")]})
        try:
            encode_request(translated.body)
        except InvalidRequest as error:
            refused += 1
            assert "nested" in error.message
    assert refused < 110


SYSTEMS: list[tuple[str, list[dict[str, Any]], list[str] | None]] = [
    ("none", [user()], None),
    ("one", [system("a"), user()], ["a"]),
    ("two and a developer's", [system("a"), {"role": "developer", "content": "b"}, system("c"), user()],
     ["a", "b", "c"]),
    ("parts keep their boundaries", [system([part("a"), part("b")]), user()],
     ["a", "b"]),
    ("blank ones are left out", [system(" "), system([]), system(None), system([part("")]), user()],
     None),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "texts"), [s[1:] for s in SYSTEMS], ids=[s[0] for s in SYSTEMS])
def test_the_leading_system_messages_are_the_system_prompt(
    messages: list[dict[str, Any]], texts: list[str] | None
) -> None:
    found = sent({"messages": messages}).get("system")
    assert found == ([{"type": "text", "text": text} for text in texts] if texts else None)


def as_user(text: str) -> str:
    return f"<system_message>\n{text}\n</system_message>"


LATE: list[tuple[str, list[dict[str, Any]], list[tuple[str, ...]], list[tuple[str, ...]]]] = [
    # what, messages, turns where the model takes no system turns, turns where it does
    ("at the end", [user(), system()], [("user", "q", as_user("s"))], [("user", "q"), ("system", "s")]),
    ("before an answer", [user(), system("1"), system("2"), answer("a"), user()],
     [("user", "q", as_user("1"), as_user("2")), ("assistant", "a"), ("user", "q")],
     [("user", "q"), ("system", "1", "2"), ("assistant", "a"), ("user", "q")]),
    ("before an empty answer", [user(), system(), answer(""), user("x")],
     [("user", "q", as_user("s"), "x")],
     [("user", "q"), ("system", "s"), ("assistant", "(no content)"), ("user", "x")]),
    ("before more of the user", [user(), system(), user("x")], *[[("user", "q", as_user("s"), "x")]] * 2),
    ("after an answer", [user(), answer("a"), system()],
     *[[("user", "q"), ("assistant", "a"), ("user", as_user("s"))]] * 2),
    ("between a call and its result", [user(), answer(None, call("a")), system(), tool("a")],
     *[[("user", "q"), ("assistant", "call a f {}"), ("user", 'result a "r"', as_user("s"))]] * 2),
    ("with a call left open", [user(), answer(None, call("a"), call("b")), tool("a"), system(), answer("x"), user()],
     *[[("user", "q"), ("assistant", "call a f {}", "call b f {}"),
        ("user", 'result a "r"', GONE.format("b"), as_user("s")), ("assistant", "x"), ("user", "q")]] * 2),
    ("after results", [user(), answer(None, call("a")), tool("a"), system(), answer("x"), user()],
     [("user", "q"), ("assistant", "call a f {}"), ("user", 'result a "r"', as_user("s")), ("assistant", "x"),
      ("user", "q")],
     [("user", "q"), ("assistant", "call a f {}"), ("user", 'result a "r"'), ("system", "s"), ("assistant", "x"),
      ("user", "q")]),
    ("blank", [user(), system(" "), user("x")], *[[("user", "q", "x")]] * 2),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "wrapped", "native"), [c[1:] for c in LATE], ids=[c[0] for c in LATE])
def test_a_later_system_message_stays_in_its_place(
    messages: list[dict[str, Any]], wrapped: list[tuple[str, ...]], native: list[tuple[str, ...]]
) -> None:
    assert turns(messages, SONNET) == wrapped
    assert turns(messages, NATIVE) == native
    for card, expected in ((SONNET, wrapped), (NATIVE, native)):
        told = any(field.endswith(".role") for _, field in notices({"messages": messages}, card))
        assert told == any(text.startswith("<system") for turn in expected for text in turn)


NOTICES: list[tuple[str, list[dict[str, Any]], list[tuple[str, str]]]] = [
    ("a name", [user(name="Ann")], [("ignored", "messages.0.name")]),
    ("empty content", [user("")], [("changed", "messages.0.content")]),
    ("an answer first", [answer("a"), user()], [("added", "messages")]),
    ("a call without result", [user(), answer(None, call("a"))], [("added", "messages"), ("added", "tools")]),
    ("a result without call", [user(), tool("a")], [("changed", "messages.1.tool_call_id")]),
    ("a repeated id", [user(), answer(None, call("a"), call("a")), tool("a"), tool("a")],
     [("changed", "messages.1.tool_calls.1.id"), ("added", "tools")]),
    ("a legacy call has no id to change", [user(), answer(None, function_call={"name": "g"}),
                                           {"role": "function", "name": "g", "content": "1"}], [("added", "tools")]),
    ("a legacy result without call", [user(), {"role": "function", "name": "g"}], [("changed", "messages.1.name")]),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "expected"), [n[1:] for n in NOTICES], ids=[n[0] for n in NOTICES])
def test_every_repair_is_said(messages: list[dict[str, Any]], expected: list[tuple[str, str]]) -> None:
    assert notices({"messages": messages}) == expected


def test_an_answer_in_audio_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent({"messages": [user(), answer(None, audio={"id": "a"}), user()]})
    assert caught.value.param == "messages.1.audio"


PREFILLS: list[tuple[Any, tuple[str, ...]]] = [
    ("Sure: \n", ("assistant", "Sure:")),
    ([part("a "), part("b ")], ("assistant", "a ", "b")),
]


@pytest.mark.parametrize(("content", "last"), PREFILLS)
def test_a_prefill_goes_where_it_can_without_white_space_at_its_end(content: Any, last: tuple[str, ...]) -> None:
    messages = [user(), answer(content)]
    assert turns(messages, PREFILL)[-1] == last
    with pytest.raises(InvalidRequest, match="not support prefill") as caught:
        turns(messages)
    assert caught.value.param == "messages"
    asked = turns(messages, SONNET, Options(prefill="continue"))
    assert asked[-1] == ("user", CONTINUE)
    assert ("added", "messages") in notices({"messages": messages}, SONNET, Options(prefill="continue"))


def test_an_answer_of_nothing_but_thinking_is_no_prefill() -> None:
    thought = {"type": "thinking", "thinking": "hm ", "signature": "s"}
    body = sent({"messages": [user(), answer(None, thinking_blocks=[thought])]}, PREFILL)
    assert [message["role"] for message in body["messages"]] == ["user"]


HM = {"type": "thinking", "thinking": "hm"}
SIGNED = {**HM, "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "x"}
TEXT_DETAIL = {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1"}
UNSIGNED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("blocks", {"thinking_blocks": [HM, SIGNED, {**HM, "signature": ""}, {**HM, "signature": 5}]},
     ["thinking_blocks.0", "thinking_blocks.2", "thinking_blocks.3"]),
    ("redacted blocks", {"thinking_blocks": [REDACTED, {**REDACTED, "data": ""}, {"type": "redacted_thinking"}]},
     ["thinking_blocks.1", "thinking_blocks.2"]),
    ("parts", {"content": [HM, part("x"), {**REDACTED, "data": ""}]}, ["content.0", "content.2"]),
    ("beside a call", {"content": None, "tool_calls": [call("a")], "thinking_blocks": [HM]}, ["thinking_blocks.0"]),
    ("beside nothing", {"content": None, "thinking_blocks": [HM]}, ["thinking_blocks.0"]),
    ("a form beside one that is signed", {"thinking_blocks": [SIGNED], "content": [HM, part("x")]}, []),
    ("signed", {"thinking_blocks": [SIGNED, REDACTED]}, []),
    ("text alone", {"reasoning_content": "hm", "reasoning": "hm", "reasoning_details": [
        TEXT_DETAIL, {"type": "reasoning.summary", "summary": "hm"}]}, []),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "lost"), [u[1:] for u in UNSIGNED], ids=[u[0] for u in UNSIGNED])
def test_thinking_without_a_signature_is_told(fields: dict[str, Any], lost: list[str]) -> None:
    """Text alone is what SDKs send back by themselves: of that nothing is said."""
    messages = [user(), {"role": "assistant", "content": "x", **fields}, user("b")]
    told = [field for action, field in notices({"messages": messages}) if action == "dropped"]
    assert told == [f"messages.1.{field}" for field in lost]


def test_thinking_that_nothing_follows_is_told() -> None:
    messages = [user(), answer(None, thinking_blocks=[SIGNED]), user("b")]
    assert notices({"messages": messages}) == [("dropped", "messages.1")]


LONG: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "one id repeated": lambda n: [answer(None, *[call("a")] * n), *[tool("a")] * n],
    "long ids with a common prefix": lambda n: [answer(None, *[call("x" * 120 + f"{i:08d}") for i in range(n)] * 2)],
    "results between texts": lambda n: [answer(None, *[call("a")] * n), *[tool("a"), user()] * n],
    "late system messages": lambda n: [user(), answer(None, *[call(str(i)) for i in range(n)]),
                                       *[tool(str(i)) for i in range(n)], *[system()] * n],
    "turns": lambda n: [user(), answer("a")] * n,
}  # fmt: skip


@pytest.mark.parametrize("messages", LONG.values(), ids=LONG)
def test_the_work_is_linear_in_the_length_of_a_conversation(messages: Callable[[int], list[dict[str, Any]]]) -> None:
    assert_linear(lambda size: sent({"messages": [*messages(size), user()]}, NATIVE), 1_000)
    sent({"messages": [*messages(30_000), user()]}, NATIVE)


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_a_participants_name_is_not_dropped_in_silence(role: str) -> None:
    named = {"role": role, "content": "x", "name": "Ann"}
    assert notices({"messages": [named, user()]}).count(("ignored", "messages.0.name")) == 1
    late = notices({"messages": [user(), {**answer("b"), "name": ""}, named, user()]})
    assert ("ignored", "messages.2.name") in late
    assert ("ignored", "messages.1.name") not in late


TTL = {"cache_control": {"type": "ephemeral", "ttl": "2h"}}
AUDIO = [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]
FUNCTION = {"role": "function", "name": "f"}
PATHS: list[tuple[list[dict[str, Any]], str]] = [
    ([{**system(), **TTL}, user()], "messages.0.cache_control.ttl"),
    ([system([{"type": "text", "text": "s", **TTL}]), user()], "messages.0.content.0.cache_control.ttl"),
    ([user(), {**system(), **TTL}], "messages.1.cache_control.ttl"),
    ([user(), answer("a", **TTL), user()], "messages.1.cache_control.ttl"),
    ([user(), answer(None, call("c")), {"role": "tool", "tool_call_id": "c", "content": "r", **TTL}],
     "messages.2.cache_control.ttl"),
    ([user(), answer(None, call("c")), {"role": "tool", "tool_call_id": "c", "content": AUDIO}],
     "messages.2.content.0.type"),
    ([user(), {**FUNCTION, "content": AUDIO}], "messages.1.content.0.type"),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "param"), PATHS)
def test_an_error_names_the_message_and_the_part(messages: list[dict[str, Any]], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent({"messages": messages})
    assert caught.value.param == param


def test_a_notice_names_the_call_it_changed() -> None:
    custom = {"id": "d", "type": "custom", "custom": {"name": "x.y", "input": "i"}}
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "a.b", "arguments": "["}}
    said = notices({"messages": [user(), answer(None, call("c", "[", "a.b"), custom), user(), legacy]})
    assert [field for action, field in said if action == "changed"] == [
        "messages.1.tool_calls.0.function.name", "messages.1.tool_calls.0.function.arguments",
        "messages.1.tool_calls.1.custom.name",
        "messages.3.function_call.name", "messages.3.function_call.arguments",
    ]  # fmt: skip


def test_the_marker_of_a_message_wins_over_that_of_its_last_part() -> None:
    part = {"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}
    marked = {**system([part]), "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert sent({"messages": [marked, user()]})["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_a_marker_without_a_block_becomes_no_text() -> None:
    body = sent({"messages": [{**system([]), "cache_control": {"type": "ephemeral"}}, user()]})
    assert "system" not in body
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}


def test_a_user_with_half_a_character_has_an_id_too() -> None:
    assert user_id("\ud800") != user_id("?")
    assert len(user_id("\ud800")) == 64


def test_an_image_in_a_functions_result_is_noted_as_in_any_other() -> None:
    image = {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}
    said = {**FUNCTION, "content": [{"type": "image_url", "image_url": image}]}
    assert ("ignored", "messages.1.content.0.image_url.detail") in notices({"messages": [user(), said]})
