"""Risk: system and blank messages are moved, overwritten or padded, and later turns no longer match the cache."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.blocks import BUDGET, NEW, SONNET, USER, Json, assistant, text, user
from support.chat import chat


async def test_e45_blank_text_is_never_sent() -> None:
    """Claude rejects empty and blank text: left out next to other content, replaced where there is none."""
    got = await chat(messages=[user([text(""), text("real"), text("\n")])])
    assert got.turns == [user([text("real")])]
    for blank in ("", " \n", [], None, [text(" ")]):
        got = await chat(messages=[user(blank)])
        assert got.turns == [user([text("(no content)")])]
        assert got.notices == ["changed=messages.0.content"]
        got = await chat(messages=[USER, assistant(blank), user("More")])
        assert got.turns == [user([text("Hi"), text("More")])]


def flat(sent: Json) -> list[Any]:
    """The prompt as the model reads it, block by block."""
    blocks = [(turn["role"], block) for turn in sent["messages"] for block in turn["content"]]
    return [*sent.get("tools", ()), *sent.get("system", ()), *blocks]


@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET])
async def test_e46_system_messages_are_sent_in_order(model: str) -> None:
    """System as a list, twice, and again in the middle: nothing is overwritten, nothing moves, and what was sent on one
    turn is sent again on the next, byte for byte."""
    messages = [
        {"role": "system", "content": [text("One."), text("Two.")]},
        {"role": "system", "content": "Three."},
        USER,
        assistant("Hello"),
        user("News?"),
        {"role": "system", "content": "Be brief."},
    ]
    got = await chat(model=model, messages=messages)
    assert got.sent["system"] == [text("One."), text("Two."), text("Three.")]
    assert [t["role"] for t in got.turns[:3]] == ["user", "assistant", "user"]
    if model == NEW:
        assert got.turns[3] == {"role": "system", "content": [text("Be brief.")]}
    else:
        assert got.turns[2]["content"][1]["text"] == "<system_message>\nBe brief.\n</system_message>"
    earlier = [await chat(model=model, messages=messages[:3]), got]
    later = await chat(model=model, messages=[*messages, assistant("No."), user("Sure?")])
    for one in earlier:
        before, after = flat(one.sent), flat(later.sent)
        assert [json.dumps(b) for b in after[: len(before)]] == [json.dumps(b) for b in before]


async def test_e47_developer_is_the_same_as_system() -> None:
    """OpenAI's newer name for system messages, at the start and in the middle, means the same."""

    def conversation(role: str) -> list[Json]:
        return [{"role": role, "content": "Rules."}, USER, assistant("Hello"), USER, {"role": role, "content": "More."}]

    for model in (NEW, SONNET):
        developer = await chat(model=model, messages=conversation("developer"))
        system = await chat(model=model, messages=conversation("system"))
        assert developer.upstream.calls[0].body == system.upstream.calls[0].body
    assert developer.sent["system"] == [text("Rules.")]


@pytest.mark.parametrize("content", ["", " \n", [], [text("")], [text(""), text("\t")]])
@pytest.mark.parametrize("role", ["system", "developer"])
async def test_e102_an_empty_system_message_is_left_out(role: str, content: Any) -> None:
    """Nothing replaces it, at the start or later, alone or next to others."""
    empty = {"role": role, "content": content}
    got = await chat(messages=[empty, USER])
    assert "system" not in got.sent
    assert got.turns == [user([text("Hi")])]
    got = await chat(messages=[{"role": "system", "content": "Rules."}, empty, USER])
    assert got.sent["system"] == [text("Rules.")]
    for model in (NEW, SONNET):
        got = await chat(model=model, messages=[USER, assistant("Hello"), empty, USER])
        assert got.turns == [user([text("Hi")]), assistant([text("Hello")]), user([text("Hi")])]
