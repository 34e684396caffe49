"""What other gateways got wrong, one test a case, E79 to E91: cut calls, cache markers, thinking, ids of a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import builtin
from support.fakes import FakeReply, stream_reply
from support.lessons import (
    BUDGET,
    NEW,
    SONNET,
    USER,
    Json,
    answer,
    ask,
    begin,
    call,
    closing,
    delta,
    end,
    opening,
    result,
    text,
    thought,
    told,
    tool,
    tool_use,
)
from support.lessons_more import arguments, broken, finishes, marked, no_waiting

__all__ = ["no_waiting"]
EPHEMERAL: Json = {"type": "ephemeral"}
#: What arrives of a call that runs `rm -rf /tmp/build`: up to here it would remove more.
CUT = ["", '{"comm', 'and": "rm -rf /', "tmp"]
WAYS = [False, True]


def user(content: Any, **fields: Any) -> Json:
    return {"role": "user", "content": content, **fields}


def assistant(content: Any = None, **fields: Any) -> Json:
    return {"role": "assistant", "content": content, **fields}


def cut_call(*rest: bytes) -> FakeReply:
    """A stream that stops in the middle of a tool's arguments."""
    pieces = [delta(0, "input_json_delta", partial_json=piece) for piece in CUT]
    return stream_reply(opening(), begin(0, tool_use(name="shell", value={})), *pieces, *rest)


async def test_e79_arguments_cut_by_the_token_limit_come_as_they_are() -> None:
    """Never repaired to valid JSON, which looks like a call to run; the finish says that something is missing."""
    reply = cut_call(end(0), *closing("max_tokens"))
    got = await ask(reply, stream=True, tools=[tool("shell")])
    assert got.finish == "length"
    assert [piece for piece in arguments(got.chunks) if piece] == CUT[1:]
    assert got.message["tool_calls"][0]["function"]["arguments"] == "".join(CUT)


async def test_e79_cut_arguments_of_a_folded_reply_come_as_they_are() -> None:
    """The client asked for a whole answer, which came as a stream in between."""
    reply = cut_call(end(0), *closing("max_tokens"))
    got = await ask(reply, max_tokens=30_000, tools=[tool("shell")])
    assert got.upstream.calls[0].target.endswith(":streamRawPredict")
    assert got.finish == "length"
    assert got.message["tool_calls"][0]["function"]["arguments"] == "".join(CUT)


async def test_e79_a_stream_that_breaks_in_a_call_is_an_error() -> None:
    got = await ask(cut_call(), stream=True, tools=[tool("shell")])
    chunks, error = broken(got)
    assert error["message"]
    assert finishes(chunks) == []
    assert "".join(arguments(chunks)) == "".join(CUT)


@pytest.mark.usefixtures("no_waiting")
async def test_e79_a_folded_reply_that_breaks_in_a_call_is_no_call() -> None:
    """The client has seen nothing: it is tried again, and if that is no better the client gets an error."""
    got = await ask(*[cut_call() for _ in range(9)], max_tokens=30_000, tools=[tool("shell")])
    assert (got.status, "choices" in got.response.json()) == (502, False)
    assert b"rm -rf" not in got.response.body
    whole = answer(tool_use(name="shell", value={"command": "ls"}), stop_reason="tool_use", stream=True)
    got = await ask(cut_call(), whole, max_tokens=30_000, tools=[tool("shell")])
    assert json.loads(got.message["tool_calls"][0]["function"]["arguments"]) == {"command": "ls"}


async def test_e80_a_tool_asks_for_its_arguments_at_once() -> None:
    """Forwarded, wherever the client writes it: without it large arguments are held back upstream."""
    for tools in ([{**tool(), "eager_input_streaming": True}], [tool(eager_input_streaming=True)]):
        got = await ask(tools=tools)
        assert (got.sent["tools"][0].get("eager_input_streaming"), got.notices) == (True, [])
    got = await ask(tools=[{**tool(), "defer_loading": True}])
    assert got.notices == ["ignored=tools.0.defer_loading"]


@pytest.mark.parametrize("pieces", [['{"a', '":', " [1,", "\n", "2"], ["nonsense"], ['{"a":1}', '{"b":2}'], ["\\u12"]])
async def test_e80_pieces_of_arguments_are_not_read(pieces: list[str]) -> None:
    """Pieces stream on as they come, whatever they are, even where they never become JSON."""
    deltas = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    reply = stream_reply(opening(), begin(0, tool_use(value={})), *deltas, end(0), *closing("tool_use"))
    got = await ask(reply, stream=True, tools=[tool()])
    assert [piece for piece in arguments(got.chunks) if piece] == pieces
    assert got.finish == "tool_calls"


@pytest.mark.parametrize(
    ("parts", "marked_text"),
    [
        (["One", "", "Three"], "One"),
        (["", "Two", "Three"], "Two"),
        (["One", "Two", " \n"], "Two"),
        (["", " ", "Three"], "Three"),
    ],
)
@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
async def test_e81_a_marker_on_empty_text_moves_to_the_nearest(role: str, parts: list[str], marked_text: str) -> None:
    """The marker stands on the one blank text of the list, or on the first of two."""
    where = next(index for index, part in enumerate(parts) if not part.strip())
    content = [text(part, **({"cache_control": EPHEMERAL} if i == where else {})) for i, part in enumerate(parts)]
    messages: list[Json] = {
        "system": [{"role": "system", "content": content}, USER],
        "user": [user(content)],
        "assistant": [USER, assistant(content), USER],
        "tool": [USER, assistant(tool_calls=[call()]), result(content=content)],
    }[role]
    got = await ask(messages=messages, tools=[tool()])
    assert [block["text"] for block in marked(got.sent)] == [marked_text]
    assert all(block["text"].strip() for block in _texts(got.sent))


def _texts(body: Any) -> list[Json]:
    if isinstance(body, dict):
        own = [body] if body.get("type") == "text" else []
        return own + [found for value in body.values() for found in _texts(value)]
    return [found for value in body for found in _texts(value)] if isinstance(body, list) else []


@pytest.mark.parametrize("content", ["", [], [text("")], [text(" ", cache_control=EPHEMERAL)]])
async def test_e81_a_marker_on_an_empty_message_moves_too(content: Any) -> None:
    """A message that is nothing but a marker: the message before it takes it, and no blank text goes up."""
    messages = [user("One"), assistant("Two", cache_control=None), user(content, cache_control=EPHEMERAL)]
    got = await ask(messages=messages)
    assert len(marked(got.sent)) == 1
    assert all(block["text"].strip() for block in _texts(got.sent))


@pytest.mark.parametrize("caching", [False, True])
async def test_e82_four_markers_over_the_whole_body(caching: bool) -> None:
    """Tools, system, messages and the whole prompt together: the first in the prompt go, and a notice says so."""
    marked_tool = {**tool("first"), "cache_control": EPHEMERAL}
    messages = [
        {"role": "system", "content": [text("Rules.", cache_control=EPHEMERAL)]},
        user([text("One", cache_control=EPHEMERAL), text("Two", cache_control=EPHEMERAL)]),
        assistant("Three", cache_control=EPHEMERAL),
        user("Four"),
    ]
    options: Json = {"tools": [marked_tool, tool("second")], "messages": messages, "cache_control": EPHEMERAL}
    settings = {"vertex": {"prompt_caching": caching}}
    got = await ask(settings=settings, **options)
    assert [block.get("text") for block in marked(got.sent["messages"])] == ["One", "Two", "Three", "Four"]
    assert marked({k: v for k, v in got.sent.items() if k != "messages"}) == []
    assert got.notices == ["dropped=cache_control"]
    again = await ask(settings=settings, **options)
    assert again.upstream.calls[0].body == got.upstream.calls[0].body
    strict = await ask(settings=settings, headers={"x-modelmux-strict": "1"}, **options)
    assert (strict.status, strict.error["param"]) == (400, "cache_control")


async def test_e83_a_clients_marker_is_the_only_one() -> None:
    """Automatic markers stand down, whatever place the client's has; without one they are set."""
    settings = {"vertex": {"prompt_caching": True}}
    plain = [user("One"), assistant("Two"), user("Three")]
    openais = text("One", prompt_cache_breakpoint={"mode": "explicit"})
    own = [
        {"tools": [{**tool(), "cache_control": EPHEMERAL}]},
        {"tools": [tool()], "cache_control": EPHEMERAL},
        {"tools": [tool()], "messages": [{"role": "system", "content": "Rules.", "cache_control": EPHEMERAL}, *plain]},
        {
            "tools": [tool()],
            "messages": [user([openais]), *plain[1:]],
        },
    ]
    for fields in own:
        got = await ask(settings=settings, **{"messages": plain, **fields})
        assert len(marked(got.sent)) == 1
    got = await ask(settings=settings, messages=plain, tools=[tool()])
    assert len(marked(got.sent)) > 1


@pytest.mark.parametrize("stream", WAYS)
@pytest.mark.parametrize("returns", [False, True])
async def test_e84_a_signed_thought_without_text_goes_back(returns: bool, stream: bool) -> None:
    """With ``display`` omitted a thought is only its signature: it goes back with ``thinking: ""``, whether the client
    returns it or the gateway remembers it."""
    silent = thought("", "c2lnbmVk")
    first = await ask(answer(silent, tool_use(), stop_reason="tool_use", stream=stream), model=NEW, stream=stream,
                      tools=[tool()])  # fmt: skip
    assert first.message["thinking_blocks"] == [silent]
    fields = {"thinking_blocks": [silent]} if returns else {}
    made = assistant(None, tool_calls=first.message["tool_calls"], **fields)
    got = await ask(app=first.app, model=NEW, tools=[tool()], messages=[USER, made, result()])
    assert got.turns[1]["content"] == [silent, tool_use()]


OMITTING = [c.id for c in builtin().cards if c.display_default == "omitted" and "adaptive" in c.thinking]


@pytest.mark.parametrize("model", OMITTING)
async def test_e85_reasoning_is_shown_to_who_asks_for_it(model: str) -> None:
    """On models that hide their thoughts by default, and only for who asks; who hides them keeps them hidden."""
    for asked in ({"reasoning_effort": "low"}, {"reasoning": {"effort": "high"}}, {"thinking": {"type": "adaptive"}}):
        got = await ask(model=model, **asked)
        assert got.sent["thinking"] == {"type": "adaptive", "display": "summarized"}
    got = await ask(model=model, reasoning={"effort": "low", "exclude": True})
    assert got.sent["thinking"]["display"] == "omitted"
    got = await ask(model=model)
    assert "display" not in got.sent.get("thinking", {})
    got = await ask(model=model, reasoning_effort="none")
    assert got.sent.get("thinking", {}).get("display") != "summarized"


async def test_e85_a_model_that_shows_its_thoughts_is_not_told_to() -> None:
    """Models that think by budget know no such thing as a display."""
    got = await ask(model=BUDGET, reasoning_effort="low", max_tokens=4000)
    assert got.sent["thinking"] == {"type": "enabled", "budget_tokens": 1024}


async def test_e86_a_thought_inside_an_open_text_stays_a_thought() -> None:
    """Thinking begins while the text before it was never ended: neither gets into the other."""
    pieces = [begin(0, text("")), delta(0, "text_delta", text="One, ")]
    pieces += told(1, thought("hm, ", "czE="))
    pieces += [delta(0, "text_delta", text="two"), *told(2, thought("yes", "czI=")), end(0)]
    got = await ask(stream_reply(opening(), *pieces, *closing()), model=NEW, stream=True, reasoning_effort="low")
    assert (got.message["content"], got.message["reasoning_content"]) == ("One, two", "hm, yes")
    assert got.message["thinking_blocks"] == [thought("hm, ", "czE="), thought("yes", "czI=")]
    assert all(len(given.keys() & {"content", "reasoning_content"}) <= 1 for given in got.deltas[1:])


@pytest.mark.parametrize("content", [None, "", [], [text("")]])
@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET])
async def test_e87_thinking_of_a_turn_without_text_is_kept(model: str, content: Any) -> None:
    """A turn of thinking and a call alone: the thinking goes back, first, and nothing is put between."""
    asked = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if model == BUDGET else {}
    made = assistant(content, tool_calls=[call()], thinking_blocks=[thought()])
    got = await ask(model=model, messages=[USER, made, result()], tools=[tool()], **asked)
    assert got.turns[1]["content"] == [thought(), tool_use()]


async def test_e87_thinking_without_text_is_kept_in_content_parts() -> None:
    made = assistant([{"type": "thinking", "thinking": "Hm.", "signature": "czE="}], tool_calls=[call()])
    got = await ask(model=NEW, messages=[USER, made, result()], tools=[tool()])
    assert got.turns[1]["content"] == [thought("Hm.", "czE="), tool_use()]


BLOCKS = [thought(), text("Hello"), tool_use()]


async def test_e88_the_usage_chunk_has_no_choices() -> None:
    """Exactly ``[]``: who reads on counts tokens of its own where the list is missing or holds a choice."""
    got = await ask(
        answer(*BLOCKS, stop_reason="tool_use", stream=True), model=NEW, stream=True, tools=[tool()],
        stream_options={"include_usage": True},
    )  # fmt: skip
    *others, last = got.chunks
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
    assert all(len(chunk["choices"]) == 1 and chunk.get("usage") is None for chunk in others)


async def test_e88_no_usage_chunk_unless_asked_for() -> None:
    got = await ask(answer(*BLOCKS, stop_reason="tool_use", stream=True), model=NEW, stream=True, tools=[tool()])
    assert all(chunk["choices"] and not chunk.get("usage") for chunk in got.chunks)


async def test_e89_all_chunks_have_one_id() -> None:
    """The usage chunk too, which is the one that is logged."""
    options: Json = {"model": NEW, "stream": True, "tools": [tool()], "stream_options": {"include_usage": True}}
    first = await ask(answer(*BLOCKS, stop_reason="tool_use", stream=True), **options)
    second = await ask(answer(*BLOCKS, stop_reason="tool_use", stream=True), app=first.app, **options)
    for got in (first, second):
        assert got.chunks[-1]["usage"]
        ((id, created, kind),) = {(chunk["id"], chunk["created"], chunk["object"]) for chunk in got.chunks}
        assert id.startswith("chatcmpl-")
        assert (type(created), kind) == (int, "chat.completion.chunk")
    assert first.chunks[0]["id"] != second.chunks[0]["id"]


async def test_e90_a_message_that_begins_twice_is_one_message() -> None:
    """An upstream, or a proxy before it, that begins the message again: the client sees one role, at the start."""
    counts = {"input_tokens": 7, "output_tokens": 1}
    reply = stream_reply(opening(counts), *told(0, text("Hello")), opening(counts), *told(1, text("!")), *closing())
    got = await ask(reply, stream=True, stream_options={"include_usage": True})
    assert [index for index, given in enumerate(got.deltas) if "role" in given] == [0]
    assert got.message["content"] == "Hello!"
    assert got.usage["prompt_tokens"] == 7


@pytest.mark.parametrize("stream", WAYS)
@pytest.mark.parametrize("name", ["claude-sonnet-4-5", "anthropic/claude-sonnet-4-5", "fast"])
async def test_e91_the_model_is_called_what_the_client_calls_it(name: str, stream: bool) -> None:
    """The name asked for is everywhere in the answer, the resolved one in a header alone."""
    id = "claude-sonnet-4-5@20250929"
    settings = {"vertex": {"models": [{"name": "fast", "model": id}]}}
    reply = answer(text("Hello"), stream=stream, **({} if stream else {"model": "claude-sonnet-4-5-20250929"}))
    got = await ask(reply, model=name, stream=stream, settings=settings, **_counted(stream))
    answered = {chunk["model"] for chunk in got.chunks} if stream else {got.response.json()["model"]}
    assert answered == {name}
    assert b"20250929" not in got.response.body
    assert got.response.headers["x-modelmux-model"] == id


def _counted(stream: bool) -> Json:
    return {"stream_options": {"include_usage": True}} if stream else {}
