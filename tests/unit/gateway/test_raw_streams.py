"""Native streams: the upstream's own bytes. Risk: half an event before an error, the upstream's own error event, bytes
after the end, a number of a keep-alive that is sent twice."""

from __future__ import annotations

import pytest

from modelmux.errors import UpstreamBroken, UpstreamUnreachable
from support.dialects import TINY_NATIVE, named
from support.exchange_world import A, B, World
from support.fakes import text_events
from support.playbook import (
    Playbook,
    breaks,
    calls,
    closes,
    completes,
    ends,
    gets,
    head,
    keep_alive,
    not_settled,
    refuses,
    sends,
    settled,
    starts,
    streams,
)

pytestmark = pytest.mark.virtual_time
START, PING, BLOCK, TEXT, *END = text_events("Hel")
BEFORE_CONTENT = (START, PING, BLOCK)
ALL = b"".join([*BEFORE_CONTENT, TEXT, *END])
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
CUT = UpstreamBroken("cut", reply_started=True)
DOWN = UpstreamUnreachable("no route")


def failed(type: str, number: int = 1) -> bytes:
    return named("error", type="error", error={"type": type}, number=number)


def number(n: int, idle: float = 15.0) -> bytes:
    return named("in_progress", number=n, idle=idle)


async def test_numbers_of_keep_alives_are_not_repeated_by_the_next_attempt() -> None:
    """What was sent cannot be taken back."""
    await (
        Playbook(TINY_NATIVE, deployments=(A, B))
        << calls("a") >> keep_alive() << starts() << gets(number(1)) >> keep_alive(30.0) << gets(number(2, 30.0))
        >> head() >> sends(*BEFORE_CONTENT) >> sends(OVERLOADED)
        << calls("b") >> keep_alive() << gets(number(3))
        >> head() >> sends(b"".join([*BEFORE_CONTENT, TEXT])) << gets(b"".join([*BEFORE_CONTENT, TEXT]))
        >> keep_alive() << gets(number(4))
        >> sends(END[0]) << gets(END[0]) >> breaks(CUT)
        << ends(failed("api_error", 5)) << settled("upstream_error")
    ).play()  # fmt: skip


async def test_an_error_before_content_continues_the_numbers() -> None:
    await (
        Playbook(TINY_NATIVE, max_attempts=1)
        << calls("a") >> keep_alive() << starts() << gets(number(1)) >> refuses(DOWN)
        << ends(failed("api_error", 2)) << settled("upstream_error")
    ).play()  # fmt: skip


@pytest.mark.parametrize("bad", [OVERLOADED, b"event: x\ndata: {]\n\n"], ids=["error event", "unreadable event"])
async def test_no_byte_of_a_failed_event_reaches_the_client_of_a_native_stream(bad: bytes) -> None:
    early = b"".join([*BEFORE_CONTENT, TEXT])
    own = failed("overloaded_error" if bad is OVERLOADED else "api_error")
    comment = b": c\n\n"
    for pieces in (
        [early + comment + bad + PING],
        [early, comment, bad[:9], bad[9:], PING],
        [early + comment + bad[:30], bad[30:]],
    ):
        await (
            Playbook(TINY_NATIVE) << calls("a") >> head() >> sends(*pieces)
            << starts() << gets(early + comment) << ends(own) << settled("upstream_error")
        ).play()  # fmt: skip


@pytest.mark.parametrize("tail", [b"", b'event: content_block_delta\ndata: {"type":"content_bl', b": pi"])
async def test_an_incomplete_event_at_the_end_is_replaced_by_the_error(tail: bytes) -> None:
    early = b"".join([*BEFORE_CONTENT, TEXT])
    await (
        Playbook(TINY_NATIVE) << calls("a") >> head() >> sends(early) << starts() << gets(early)
        >> sends(tail) << not_settled() >> closes() << _own_error << settled("upstream_error")
    ).play()  # fmt: skip


def _own_error(world: World) -> None:
    data = b"".join(effect.data for effect in world.effects)  # type: ignore[union-attr]
    world.effects.clear()
    assert data.removeprefix(b": pi\n\n") == failed("api_error")


async def test_a_last_event_without_its_blank_line_is_completed() -> None:
    early, (*rest, stop) = b"".join([*BEFORE_CONTENT, TEXT]), END
    await (
        Playbook(TINY_NATIVE) << calls("a") >> head() >> sends(early) << starts() << gets(early)
        >> sends(b"".join(rest) + stop[:-2]) << gets(b"".join(rest)) >> closes() << ends(stop) << settled("ok")
    ).play()  # fmt: skip


async def test_nothing_after_the_end_of_a_native_message_is_passed_on() -> None:
    for pieces in ([ALL + PING + OVERLOADED], [ALL, PING, OVERLOADED], [ALL[:-1], ALL[-1:] + OVERLOADED]):
        world = await (
            Playbook(TINY_NATIVE) << calls("a") >> head() >> streams(*pieces) << starts() << completes(ALL)
            << settled("ok")
        ).play()  # fmt: skip
        assert world.observer.errors == []
