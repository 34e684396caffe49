"""Every tool call has its result, and every result its call."""

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
UNANSWERED = (
    "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block "
    "must have a corresponding `tool_result` block in the next message."
)
UNEXPECTED = (
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
        ([user("x"), assistant(tool_use("a"))], UNANSWERED.format("a")),
        ([user("x"), assistant(tool_use("a")), user("y")], UNANSWERED.format("a")),
        ([user("x"), assistant(tool_use("a"), tool_use("b")), user(tool_result("b"))], UNANSWERED.format("a")),
        ([user("x"), assistant(tool_use("a"), tool_use("b")), user("y")], UNANSWERED.format("a, b")),
        ([user("x"), assistant(tool_use("a")), user(text("first"), tool_result("a"))], UNANSWERED.format("a")),
        ([user(tool_result("a"))], UNEXPECTED.format(0, 0, "a")),
        ([user("x"), assistant(tool_use("a")), user(tool_result("a"), tool_result("z"))], UNEXPECTED.format(2, 1, "z")),
        (
            [user("x"), assistant(tool_use("a")), user(tool_result("a")), assistant("ok"), user(tool_result("a"))],
            UNEXPECTED.format(4, 0, "a"),
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
    assert await error_message(APP, with_tools(*messages)) == words


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


async def test_tool_blocks_without_tools_pass_unless_the_older_rule_is_on() -> None:
    """A request recorded in 2026 was accepted; older versions of the service rejected them."""
    body = body_of(messages=[user("x"), assistant(tool_use()), user(tool_result())])
    assert (await ask(APP, body)).status == 200
    message = await error_message(emulator(history_needs_tools=True), body)
    assert message == "Requests which have `tool_use` or `tool_result` blocks in conversation must define tools."


async def test_a_pending_server_tool_may_only_be_followed_by_results() -> None:
    tools = [SEARCH, tool()]
    pending = assistant(text("I'll search"), PENDING)
    resumed = body_of(messages=[user("search x"), pending], tools=tools)
    assert (await ask(APP, resumed, model="claude-opus-5-5")).status == 200
    message = await error_message(APP, body_of(messages=[user("search x"), pending, user("go on")], tools=tools))
    assert message == (
        "messages.1: `web_search` tool use with id `srvtoolu_1` was found without a corresponding "
        "`web_search_tool_result` block"
    )
