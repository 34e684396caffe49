"""Cache breakpoints beyond the limits of the service are rejected with the real messages."""

from __future__ import annotations

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
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


async def test_at_most_four_breakpoints() -> None:
    marked = [text(str(n), cache_control=EPHEMERAL) for n in range(5)]
    assert (
        await error_message(APP, body_of(marked))
        == "A maximum of 4 blocks with cache_control may be provided. Found 5."
    )
    assert (await ask(APP, body_of(marked[:4]))).status == 200
    everywhere = body_of(
        marked[:2],
        system=[text("s", cache_control=EPHEMERAL)],
        tools=[tool(cache_control=EPHEMERAL)],
        cache_control=EPHEMERAL,
    )
    assert await error_message(APP, everywhere) == "A maximum of 4 blocks with cache_control may be provided. Found 5."


async def test_breakpoints_inside_tool_results_count() -> None:
    inner = [text(str(n), cache_control=EPHEMERAL) for n in range(5)]
    messages = [user("x"), assistant(tool_use()), user(tool_result(content=inner))]
    assert "Found 5." in await error_message(APP, body_of(messages=messages, tools=[tool()]))


async def test_breakpoints_with_the_longer_lifetime_come_first() -> None:
    late = body_of([text("x", cache_control=HOUR)], system=[text("s", cache_control=EPHEMERAL)])
    message = await error_message(APP, late)
    assert message.startswith(
        "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after"
    )
    early = body_of([text("x", cache_control=EPHEMERAL)], system=[text("s", cache_control=HOUR)])
    assert (await ask(APP, early)).status == 200
