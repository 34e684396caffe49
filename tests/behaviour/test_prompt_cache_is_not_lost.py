"""Risk: cache markers are lost or too many, or the prefix of a turn changes, and the prompt is billed again."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from modelmux.catalog import builtin
from support.asgi import request
from support.blocks import PNG, USER, Json, assistant, text, tool, tool_call, tool_result, user
from support.chat import cache_markers, chat
from support.fakes import FakeUpstream, message_reply
from support.gateway import PATH, ask, gateway
from support.pictures import data_url, image_part

pytestmark = pytest.mark.usefixtures("no_waiting")


async def test_e55_cache_markers_are_sent_on_every_kind_of_block() -> None:
    """Markers on a tool, system text, an image, a tool call and its result: the scope is removed, the lifetime kept, at
    most four are sent, and none moves."""
    hour = {"type": "ephemeral", "ttl": "1h", "scope": "global"}
    image = {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}", "cache_control": {"type": "ephemeral"}}
    messages = [
        {"role": "system", "content": [text("Rules.", cache_control=hour)]},
        user([image, text("What is it?")]),
        assistant(tool_calls=[tool_call()], cache_control={"type": "ephemeral"}),
        {**tool_result(), "cache_control": {"type": "ephemeral"}},
    ]
    got = await chat(messages=messages, tools=[tool()])
    assert got.sent["system"] == [text("Rules.", cache_control={"type": "ephemeral", "ttl": "1h"})]
    marked = [block["type"] for turn in got.turns for block in turn["content"] if "cache_control" in block]
    assert marked == ["image", "tool_use", "tool_result"]
    assert b"scope" not in got.upstream.calls[0].body
    got = await chat(messages=messages, tools=[{**tool(), "cache_control": hour}])
    assert got.upstream.calls[0].body.count(b"cache_control") == 4
    assert "cache_control" not in got.sent["tools"][0]
    scopes = ["tools.0.cache_control.scope", "messages.0.content.0.cache_control.scope"]
    assert got.notices == [*(f"ignored={path}" for path in scopes), "dropped=cache_control"]


EPHEMERAL: Json = {"type": "ephemeral"}


def _texts(body: Any) -> list[Json]:
    if isinstance(body, dict):
        own = [body] if body.get("type") == "text" else []
        return own + [block for value in body.values() for block in _texts(value)]
    return [block for value in body for block in _texts(value)] if isinstance(body, list) else []


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
async def test_e81_a_marker_on_blank_text_moves_to_the_nearest_block(
    role: str, parts: list[str], marked_text: str
) -> None:
    """The marker is on the one blank text of the list, or on the first of two."""
    where = next(index for index, part in enumerate(parts) if not part.strip())
    content = [text(part, **({"cache_control": EPHEMERAL} if i == where else {})) for i, part in enumerate(parts)]
    messages: list[Json] = {
        "system": [{"role": "system", "content": content}, USER],
        "user": [user(content)],
        "assistant": [USER, assistant(content), USER],
        "tool": [USER, assistant(tool_calls=[tool_call()]), tool_result(content=content)],
    }[role]
    got = await chat(messages=messages, tools=[tool()])
    assert [block["text"] for block in cache_markers(got.sent)] == [marked_text]
    assert all(block["text"].strip() for block in _texts(got.sent))


@pytest.mark.parametrize("content", ["", [], [text("")], [text(" ", cache_control=EPHEMERAL)]])
async def test_e81_a_marker_on_an_empty_message_moves_too(content: Any) -> None:
    """A message that is nothing but a marker: the message before it gets it, and no blank text is sent."""
    messages = [user("One"), assistant("Two", cache_control=None), user(content, cache_control=EPHEMERAL)]
    got = await chat(messages=messages)
    assert len(cache_markers(got.sent)) == 1
    assert all(block["text"].strip() for block in _texts(got.sent))


@pytest.mark.parametrize("caching", [False, True])
async def test_e82_at_most_four_markers_in_a_request(caching: bool) -> None:
    """Tools, system, messages and the top level together: the first ones in the prompt are dropped, with a notice."""
    marked_tool = {**tool("first"), "cache_control": EPHEMERAL}
    messages = [
        {"role": "system", "content": [text("Rules.", cache_control=EPHEMERAL)]},
        user([text("One", cache_control=EPHEMERAL), text("Two", cache_control=EPHEMERAL)]),
        assistant("Three", cache_control=EPHEMERAL),
        user("Four"),
    ]
    options: Json = {"tools": [marked_tool, tool("second")], "messages": messages, "cache_control": EPHEMERAL}
    settings = {"vertex": {"prompt_caching": caching}}
    got = await chat(settings=settings, **options)
    assert [block.get("text") for block in cache_markers(got.sent["messages"])] == ["One", "Two", "Three", "Four"]
    assert cache_markers({k: v for k, v in got.sent.items() if k != "messages"}) == []
    assert got.notices == ["dropped=cache_control"]
    again = await chat(settings=settings, **options)
    assert again.upstream.calls[0].body == got.upstream.calls[0].body
    strict = await chat(settings=settings, headers={"x-modelmux-strict": "1"}, **options)
    assert (strict.status, strict.error["param"]) == (400, "cache_control")


async def test_e83_a_marker_of_the_client_disables_automatic_ones() -> None:
    """Wherever the client's marker is; without one the automatic ones are set."""
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
        got = await chat(settings=settings, **{"messages": plain, **fields})
        assert len(cache_markers(got.sent)) == 1
    got = await chat(settings=settings, messages=plain, tools=[tool()])
    assert len(cache_markers(got.sent)) > 1


LONG_TEXT = "All work and no play. " * 600


async def test_g6_a_conversation_is_routed_to_its_cached_prompt() -> None:
    deployments = [{"location": name} for name in ("eu", "us", "global")]
    models = [{"name": "m", "model": "claude-sonnet-4-6", "deployments": deployments}]
    app = gateway(FakeUpstream([message_reply() for _ in range(90)]), vertex={"models": models})
    everywhere = set()
    for number in range(15):
        messages: list[Any] = [
            {"role": "system", "content": LONG_TEXT},
            {"role": "user", "content": f"Question {number}"},
        ]
        went = set()
        for _ in range(3):
            response = await request(app, "POST", PATH, ask() | {"model": "m", "messages": messages})
            went.add(response.headers["x-modelmux-deployment"])
            messages = [*messages, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}]
        assert len(went) == 1, "each turn finds the cache of the turn before"
        everywhere |= went
    assert len(everywhere) == 3, "and conversations are shared out"


def test_g7_every_model_has_its_cache_minimum() -> None:
    least = {card.id: card.cache_minimum for card in builtin().cards}
    assert len(least) > 5
    assert all(token_count >= 512 for token_count in least.values())
    assert len(set(least.values())) > 1, "it differs between models"


async def test_g8_each_turn_begins_with_the_turn_before() -> None:
    turns: list[Any] = [{"role": "system", "content": "Be brief."}, USER]
    sent = []
    for number in range(4):
        got = await chat(messages=turns, tools=[tool()])
        sent.append(got.sent)
        late = {"role": "system", "content": "The time is noon."}
        turns = [*turns, {"role": "assistant", "content": f"Answer {number}"}, late, USER]
    for before, after in itertools.pairwise(sent):
        assert (before["system"], before["tools"]) == (after["system"], after["tools"])
        assert after["messages"][: len(before["messages"])] == before["messages"]


async def test_g9_breakpoints_are_sent_on_every_kind_of_block() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    got = await chat(
        messages=[
            {"role": "system", "content": [text("Long.", **mark)]},
            {"role": "user", "content": [{**image_part(data_url()), **mark}, text("?")]},
            {"role": "assistant", "content": None, "tool_calls": [tool_call()]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": [text("20", **mark)]},
        ],
        tools=[{**tool(), **mark}],
    )
    assert len(cache_markers(got.sent)) == 4


async def test_g10_caching_is_automatic() -> None:
    on = await chat(settings={"vertex": {"prompt_caching": True}}, tools=[tool(description=LONG_TEXT)])
    off = await chat(tools=[tool(description=LONG_TEXT)])
    assert cache_markers(on.sent)
    assert not cache_markers(off.sent)
