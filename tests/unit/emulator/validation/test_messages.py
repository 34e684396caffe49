"""Rules on messages: roles, empty text, the position of system messages, their number."""

from __future__ import annotations

from typing import Any

import pytest

from support.emulator_calls import (
    ask,
    assistant,
    body_of,
    emulator,
    error_message,
    text,
    tool,
    tool_result,
    tool_use,
    user,
)

APP = emulator()
TOOLS = [tool()]
SYSTEM = {"role": "system", "content": "Be brief."}
MIDDLE = "claude-opus-4-8"


def with_tools(*messages: Any) -> dict[str, Any]:
    return body_of(messages=list(messages), tools=TOOLS)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([assistant("Hi"), user("x")], 'messages: first message must use the "user" role'),
        (
            [{"role": "tool", "content": "x"}],
            'messages: Unexpected role "tool". Allowed roles are "user" or "assistant".',
        ),
        (
            [user("x"), SYSTEM],
            (
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` '
                'parameter, not "system" as an input message role.'
            ),
        ),
        (
            [user("")],
            "messages.0: all messages must have non-empty content except for the optional final assistant message",
        ),
        (
            [{"role": "user", "content": []}],
            "messages.0: all messages must have non-empty content except for the optional final assistant message",
        ),
        ([user("  ")], "messages: text content blocks must contain non-whitespace text"),
        ([user(text(""))], "messages: text content blocks must be non-empty"),
        ([user(text(" \n"))], "messages: text content blocks must contain non-whitespace text"),
        (
            [user(text("", cache_control={"type": "ephemeral"}))],
            "messages.0.content.0.text: cache_control cannot be set for empty text blocks",
        ),
        ([user("x"), assistant(text("")), user("y")], "messages: text content blocks must be non-empty"),
        ([user(tool_use())], "messages.0.content.0: `tool_use` blocks can only be in `assistant` messages"),
        (
            [user({"type": "thinking", "thinking": "", "signature": ""})],
            "messages.0.content.0: `thinking` blocks can only be in `assistant` messages",
        ),
        (
            [user("x"), assistant(tool_result()), user("y")],
            "messages.1.content.0: `tool_result` blocks can only be in `user` messages",
        ),
    ],
)
async def test_an_invalid_message_is_rejected(messages: list[Any], words: str) -> None:
    assert await error_message(APP, with_tools(*messages)) == words


async def test_empty_system_blocks_are_rejected() -> None:
    assert await error_message(APP, body_of(system=[text("")])) == "system: text content blocks must be non-empty"


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([user("x"), SYSTEM], 200),
        ([user("x"), SYSTEM, assistant("y"), user("z")], 200),
        ([SYSTEM, user("x")], 400),
        ([user("x"), SYSTEM, user("y")], 400),
        ([user("x"), assistant("y"), SYSTEM, user("z")], 400),
        ([user("x"), assistant(tool_use()), SYSTEM, user(tool_result())], 400),
        ([user("x"), assistant(tool_use()), user(tool_result()), SYSTEM], 200),
        ([user("x"), {"role": "system", "content": [tool_result()]}], 400),
    ],
)
async def test_a_system_message_follows_the_user_and_precedes_the_assistant(messages: list[Any], status: int) -> None:
    answer = await ask(APP, with_tools(*messages), model=MIDDLE)
    assert answer.status == status, answer.body


async def test_at_most_one_hundred_thousand_messages() -> None:
    many = [user("a"), assistant("b")] * 50_000
    assert "at most 100000 items" in await error_message(
        APP, body_of(messages=[*many, user("c")]), model="claude-opus-5"
    )
