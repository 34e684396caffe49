"""The rules of a conversation: who may say what when, and that every tool call has its result."""

from __future__ import annotations

from typing import Any

import pytest

from support.emulator_calls import ask, assistant, body_of, emulator, refusal, text, tool, tool_result, tool_use, user

APP = emulator()
TOOLS = [tool()]
SYSTEM = {"role": "system", "content": "Be brief."}
MIDDLE = "claude-opus-4-8"
UNANSWERED = (
    "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block "
    "must have a corresponding `tool_result` block in the next message."
)
UNASKED = (
    "messages.{}.content.{}: unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must "
    "have a corresponding `tool_use` block in the previous message."
)
PENDING = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


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
async def test_a_message_out_of_place_is_refused(messages: list[Any], words: str) -> None:
    assert await refusal(APP, with_tools(*messages)) == words


async def test_empty_system_blocks_are_refused() -> None:
    assert await refusal(APP, body_of(system=[text("")])) == "system: text content blocks must be non-empty"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([user("x"), assistant(tool_use("a"))], UNANSWERED.format("a")),
        ([user("x"), assistant(tool_use("a")), user("y")], UNANSWERED.format("a")),
        ([user("x"), assistant(tool_use("a"), tool_use("b")), user(tool_result("b"))], UNANSWERED.format("a")),
        ([user("x"), assistant(tool_use("a"), tool_use("b")), user("y")], UNANSWERED.format("a, b")),
        ([user("x"), assistant(tool_use("a")), user(text("first"), tool_result("a"))], UNANSWERED.format("a")),
        ([user(tool_result("a"))], UNASKED.format(0, 0, "a")),
        ([user("x"), assistant(tool_use("a")), user(tool_result("a"), tool_result("z"))], UNASKED.format(2, 1, "z")),
        (
            [user("x"), assistant(tool_use("a")), user(tool_result("a")), assistant("ok"), user(tool_result("a"))],
            UNASKED.format(4, 0, "a"),
        ),
        (
            [user("x"), assistant(tool_use("a")), user(tool_result("a"), tool_result("a"))],
            (
                "messages.2.content.1: each tool_use must have a single result. "
                "Found multiple `tool_result` blocks with id: a"
            ),
        ),
        (
            [user("x"), assistant(tool_use("a"), tool_use("a")), user(tool_result("a"))],
            "messages.1.content.1: `tool_use` ids must be unique",
        ),
    ],
)
async def test_calls_and_results_must_pair_up(messages: list[Any], words: str) -> None:
    assert await refusal(APP, with_tools(*messages)) == words


@pytest.mark.parametrize(
    "messages",
    [
        [user("x"), assistant(tool_use("a")), user(tool_result("a"))],
        [user("x"), assistant(text("wait"), tool_use("a"), tool_use("b")), user(tool_result("b"), tool_result("a"))],
        [user("x"), assistant(tool_use("a")), user(tool_result("a"), text("and?"))],
        [user("x"), assistant(tool_use("a")), assistant(tool_use("b")), user(tool_result("a")), user(tool_result("b"))],
        [user("x"), assistant(tool_use("a")), user(tool_result("a", is_error=True))],
        [user("x"), assistant(tool_use("a")), user({"type": "tool_result", "tool_use_id": "a"})],
        [user("x"), assistant(tool_use("a")), user(tool_result("a", [text("x")]))],
        [user("x"), assistant("")],
    ],
)
async def test_calls_with_their_results_pass(messages: list[Any]) -> None:
    answer = await ask(APP, with_tools(*messages))
    assert answer.status == 200, answer.body


async def test_tool_blocks_without_tools_pass_unless_the_older_rule_is_wanted() -> None:
    """A recorded request of 2026 shows them accepted; older versions of the service refused them."""
    body = body_of(messages=[user("x"), assistant(tool_use()), user(tool_result())])
    assert (await ask(APP, body)).status == 200
    said = await refusal(emulator(history_needs_tools=True), body)
    assert said == "Requests which have `tool_use` or `tool_result` blocks in conversation must define tools."


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
async def test_system_messages_stand_after_the_user_and_before_the_assistant(messages: list[Any], status: int) -> None:
    answer = await ask(APP, with_tools(*messages), model=MIDDLE)
    assert answer.status == status, answer.body


async def test_a_pending_server_tool_may_only_be_followed_by_results() -> None:
    tools = [SEARCH, tool()]
    pending = assistant(text("I'll search"), PENDING)
    handed_back = body_of(messages=[user("search x"), pending], tools=tools)
    assert (await ask(APP, handed_back, model="claude-opus-5-5")).status == 200
    said = await refusal(APP, body_of(messages=[user("search x"), pending, user("go on")], tools=tools))
    assert said == (
        "messages.1: `web_search` tool use with id `srvtoolu_1` was found without a corresponding "
        "`web_search_tool_result` block"
    )


async def test_one_hundred_thousand_messages_are_the_most() -> None:
    many = [user("a"), assistant("b")] * 50_000
    assert "at most 100000 items" in await refusal(APP, body_of(messages=[*many, user("c")]), model="claude-opus-5")
