"""Risk: bytes that wait although they could be sent, a write for each event, an upstream that is read faster than its
client reads, a stream without its regular end or with two."""

from __future__ import annotations

import pytest

from modelmux.errors import GatewayDraining, UpstreamBroken
from support.dialects import TINY_HUB, TINY_NATIVE, named
from support.exchange_world import Ended, Got, World
from support.fakes import event, text_events
from support.playbook import (
    Expectation,
    Playbook,
    anything,
    breaks,
    calls,
    closes,
    ends,
    gets,
    head,
    leaves,
    not_settled,
    pause,
    reads_again,
    sends,
    settled,
    shutdown,
    starts,
    stops_reading,
    streams,
)

pytestmark = pytest.mark.virtual_time
ID = "0" * 32
BEGIN, END = named("begin", id=ID), named("end", stop="end_turn")


def text(value: str) -> bytes:
    return named("text", text=value)


def parts(*texts: str) -> tuple[bytes, list[bytes], bytes]:
    """What comes before the texts, the texts, and the end."""
    events = text_events(*texts)
    return b"".join(events[:3]), events[3:-3], b"".join(events[-3:])


async def test_the_events_of_one_read_are_one_write() -> None:
    start, (hel, lo, bye), end = parts("Hel", "lo", "!")

    def two_writes(world: World) -> None:
        assert [type(effect) for effect in world.effects] == [Got, Got]

    await (
        Playbook(TINY_HUB) << calls("a") >> head() >> sends(start + hel, lo + bye)
        << starts() << two_writes << gets(BEGIN + text("Hel") + text("lo") + text("!"))
        >> streams(end) << ends(END) << settled("ok")
    ).play()  # fmt: skip


async def test_a_complete_reply_in_one_read_is_one_write() -> None:
    for dialect, expected in ((TINY_HUB, BEGIN + text("Hi") + END), (TINY_NATIVE, b"".join(text_events("Hi")))):
        await (
            Playbook(dialect) << calls("a") >> head() >> streams(b"".join(text_events("Hi")))
            << starts() << ends(expected) << settled("ok")
        ).play()  # fmt: skip


async def test_an_event_without_bytes_is_no_write() -> None:
    start, (hel,), end = parts("Hel")
    ping = event("ping")
    await (
        Playbook(TINY_HUB) << calls("a") >> head() >> sends(start + hel) << starts() << gets(BEGIN + text("Hel"))
        >> sends(ping, ping) << not_settled() >> streams(end) << ends(END) << settled("ok")
    ).play()  # fmt: skip


async def test_the_upstream_is_not_read_faster_than_the_client_reads() -> None:
    start, (one, *more), end = parts(*"abcdef")
    world = await (
        Playbook(TINY_HUB) << calls("a") >> head() >> sends(start + one) << starts() << gets(BEGIN + text("a"))
        >> stops_reading() >> sends(*more) << gets(text("b")) >> pause(60) << not_settled()
        >> reads_again() << gets(b"".join(map(text, "cdef")))
        >> streams(end) << ends(END) << settled("ok")
    ).play()  # fmt: skip
    assert world.record.duration == pytest.approx(60, abs=0.01)


async def test_an_upstream_that_does_not_end_after_its_message_is_not_waited_for_long() -> None:
    world = await (
        Playbook(TINY_HUB) << calls("a") >> head() >> sends(*text_events("Hi")) << anything() << settled("ok")
        >> pause(0.2) << _running >> pause(0.1)
    ).play()  # fmt: skip
    assert world.record.duration == pytest.approx(0, abs=0.01), "the client has its reply"


def _running(world: World) -> None:
    assert not world.over


async def test_a_reply_that_breaks_after_its_message_is_complete() -> None:
    await (
        Playbook(TINY_HUB) << calls("a") >> head() >> sends(*text_events("Hi")) << anything() << settled("ok")
        >> breaks(UpstreamBroken("cut", reply_started=True)) << settled("ok", error=None)
    ).play()  # fmt: skip


@pytest.mark.parametrize("stop_reason", ["end_turn", "max_tokens", "pause_turn", "invented", None])
async def test_whatever_the_stop_reason_message_stop_is_the_end(stop_reason: str | None) -> None:
    events = [
        *text_events("Hi")[:-2],
        event("message_delta", delta={"stop_reason": stop_reason}),
        event("message_stop"),
    ]
    await (
        Playbook(TINY_HUB) << calls("a") >> head() >> streams(*events) << starts() << gets(BEGIN + text("Hi"))
        << ends(named("end", stop=stop_reason)) << settled("ok")
    ).play()  # fmt: skip


async def test_a_message_without_content_is_a_stream_too() -> None:
    events = text_events()
    await (
        Playbook(TINY_HUB) << calls("a") >> head() >> streams(*events) << starts() << ends(BEGIN + END) << settled("ok")
    ).play()


# Mode buffered


def buffered(seconds: float = 2.0) -> Playbook:
    return Playbook(TINY_HUB, mode="buffered", buffer_seconds=seconds) << calls("a") >> head()


async def test_buffered_text_is_sent_sentence_by_sentence() -> None:
    start, (a, b, c), end = parts("How are", " you? I", " am fine.")
    await (
        buffered() >> sends(start + a) << starts(x_modelmux_stream_mode="buffered")
        >> sends(b) << gets(BEGIN + text("How are you? ")) >> streams(c + end)
        << ends(text("I am fine.") + END) << settled("ok")
    ).play()  # fmt: skip


async def test_buffered_text_is_sent_when_it_is_due() -> None:
    start, (a, b), end = parts("How are", " you")
    await (
        buffered(seconds=2.0) >> sends(start + a) << starts() >> pause(1.9) << not_settled()
        >> pause(0.2) << gets(BEGIN + text("How are"))
        >> sends(b) << not_settled() >> pause(2.1) << gets(text(" you"))
        >> streams(end) << ends(END) << settled("ok")
    ).play()  # fmt: skip


async def test_buffered_text_is_sent_before_an_error() -> None:
    start, (a,), _ = parts("How are")
    for failure in (closes(), breaks(UpstreamBroken("cut", reply_started=True))):
        await (
            buffered() >> sends(start + a) << starts() >> failure
            << gets(BEGIN + text("How are")) << ends(named("failed", kind="broken")) << settled("upstream_error")
        ).play()  # fmt: skip


async def test_buffered_text_is_sent_before_the_error_of_a_shutdown() -> None:
    start, (a,), _ = parts("How are")
    world = await (
        buffered() >> sends(start + a) << starts() >> shutdown()
        << ends(BEGIN + text("How are") + named("failed", kind="gateway_draining")) << settled("drained")
    ).play()  # fmt: skip
    assert isinstance(world.record.error, GatewayDraining)


async def test_a_client_that_leaves_ends_a_buffered_read() -> None:
    start, (a,), _ = parts("How are")
    await (buffered() >> sends(start + a) << starts() >> leaves() << settled("client_gone")).play()


async def test_a_native_stream_is_buffered_as_events() -> None:
    start, (a, b), end = parts("How are", " you?")
    world = await (
        Playbook(TINY_NATIVE, mode="buffered") << calls("a") >> head() >> sends(start + a) << starts()
        << _events("message_start", "ping", "content_block_start")
        >> sends(b) << not_settled()
        >> streams(end) << _events("content_block_delta", "content_block_stop", "message_delta", "message_stop")
        << settled("ok")
    ).play()  # fmt: skip
    assert world.record.usage is not None


def _events(*names: str) -> Expectation:
    def check(world: World) -> None:
        data = b"".join(effect.data for effect in world.effects if isinstance(effect, Got | Ended))
        world.effects.clear()
        lines = [line for line in data.split(b"\n") if line.startswith(b"event: ")]
        assert [line.removeprefix(b"event: ").decode() for line in lines] == list(names)

    return check
