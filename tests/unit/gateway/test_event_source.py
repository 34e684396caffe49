"""Risk: text that is held longer than it may be, a read that is lost when its time is over, an error that overtakes the
text before it, a connection that is not used again because its reply was not read to the end."""

from __future__ import annotations

import asyncio

import pytest

from modelmux.claude.text_buffer import TextBuffer
from modelmux.errors import GatewayError, UpstreamBroken, UpstreamRefused
from modelmux.gateway.event_source import (
    DRAIN_SECONDS,
    BufferedEventSource,
    Events,
    EventSource,
    MessageEventSource,
    RawEventSource,
)
from modelmux.providers.vertex_claude.reader import ClaudeReplyReader
from modelmux.wire.anthropic import StreamEvent
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from support.clock import loop_time
from support.exchange_world import ScriptedReply
from support.fakes import SSE_HEADERS, event, text_events

pytestmark = pytest.mark.virtual_time
START, PING, BLOCK, *_, STOP, DELTA, END = text_events("x")
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
CUT = UpstreamBroken("cut", reply_started=True)


def text(value: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": value})


def reply(*pieces: bytes | BaseException | None) -> ScriptedReply:
    """None ends it."""
    scripted = ScriptedReply(200, SSE_HEADERS)
    for piece in pieces:
        scripted.arrive(piece)
    return scripted


def plain(*pieces: bytes | BaseException | None, limit: int | None = None) -> EventSource:
    return EventSource(reply(*pieces), ClaudeReplyReader(), limit)


def raw(*pieces: bytes | BaseException | None) -> RawEventSource:
    return RawEventSource(reply(*pieces), ClaudeReplyReader())


def shown(events: Events | None) -> list[str] | None:
    """Texts of deltas, types of other events."""
    if events is None:
        return None
    single = [e for item in events for e in (item.events() if isinstance(item, TextDeltaRun) else [item])]
    return [e.delta.text or "" if e.delta is not None and e.delta.type == "text_delta" else e.type for e in single]


# As they come


async def test_each_read_gives_the_events_it_completes() -> None:
    source = plain(START + PING, text("a")[:20], text("a")[20:] + text("b"), None)
    assert [shown(await source.read()) for _ in range(4)] == [["message_start", "ping"], [], ["a", "b"], None]
    assert await source.read() is None, "the end stays the end"
    assert source.chunk is None, "its bytes are not passed on"


async def test_an_error_event_is_raised_behind_the_events_before_it_without_waiting() -> None:
    source = plain(text("a") + OVERLOADED)  # and nothing follows
    assert shown(await source.read()) == ["a"]
    for _ in range(2):
        with pytest.raises(UpstreamRefused, match="Overloaded"):
            await source.read()


async def test_an_error_event_alone_is_raised_without_waiting() -> None:
    source = plain(OVERLOADED)
    assert shown(await source.read()) == []
    with pytest.raises(UpstreamRefused, match="Overloaded"):
        await source.read()


async def test_a_last_event_without_its_blank_line_counts() -> None:
    source = plain(text("a")[:-1], None)
    assert [shown(await source.read()) for _ in range(3)] == [[], ["a"], None]


async def test_a_last_event_that_is_cut_off_is_an_error() -> None:
    source = plain(text("a")[:-9], None)
    assert [shown(await source.read()) for _ in range(2)] == [[], None]
    with pytest.raises(UpstreamBroken, match="cannot be read"):
        await source.read()


async def test_a_reply_that_breaks_off_raises_its_error() -> None:
    source = plain(text("a"), CUT)
    assert shown(await source.read()) == ["a"]
    with pytest.raises(UpstreamBroken, match="cut"):
        await source.read()


async def test_a_reply_beyond_the_limit_is_given_up() -> None:
    size = len(text("a"))
    source = plain(text("a"), text("a"), b"\n", limit=2 * size)
    assert [shown(await source.read()) for _ in range(2)] == [["a"], ["a"]]
    with pytest.raises(UpstreamBroken, match="longer than the gateway accepts"):
        await source.read()


async def test_a_message_is_read_once() -> None:
    events: list[StreamEvent] = [StreamEvent("ping")]
    source = MessageEventSource(reply(), events)
    assert [await source.read(), await source.read()] == [events, None]
    await source.drain()
    assert (source.holds_text, source.chunk, list(source.flush())) == (False, None, [])


# The end of a reply


async def test_the_rest_of_a_reply_is_read_but_not_for_long() -> None:
    scripted = reply(END)
    source = EventSource(scripted, ClaudeReplyReader())
    await source.read()
    before = loop_time()
    await source.drain()
    assert loop_time() - before == pytest.approx(DRAIN_SECONDS)
    asyncio.get_running_loop().call_later(0.1, scripted.arrive, None)
    before = loop_time()
    await EventSource(scripted, ClaudeReplyReader()).drain()
    assert loop_time() - before == pytest.approx(0.1)


@pytest.mark.parametrize("rest", [(None,), (b"\n", None), (CUT,)])
async def test_draining_never_fails(rest: tuple[bytes | BaseException | None, ...]) -> None:
    source = plain(END, *rest)
    await source.read()
    await source.drain()


async def test_a_reply_that_was_read_to_its_end_is_not_drained() -> None:
    source = plain(None)
    assert await source.read() is None
    await source.drain()


# With their bytes


async def test_raw_events_come_with_their_bytes() -> None:
    pieces = [START + PING[:9], PING[9:] + text("a"), b": c\n\n", text("b")[:-1], b"\n", None]
    source, seen = raw(*pieces), []
    while (events := await source.read()) is not None:
        seen.append((source.chunk, shown(events)))
    assert seen == [
        (START, ["message_start"]), (PING + text("a"), ["ping", "a"]), (b": c\n\n", []), (b"", []), (text("b"), ["b"]),
    ]  # fmt: skip


@pytest.mark.parametrize("is_metered", [True, False])
async def test_characters_are_those_of_the_deltas_however_they_come(is_metered: bool) -> None:
    run = b"".join(text(f"{number:020}") for number in range(9)).replace(b'": ', b'":').replace(b', "', b',"')
    signature = event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s" * 99})
    thinking = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "thought"})
    arguments = event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a":1}'})
    source = EventSource(
        reply(START + PING, BLOCK, run + signature, thinking + arguments + text("ä"), None),
        ClaudeReplyReader(),
        is_metered=is_metered,
    )
    while await source.read() is not None:
        pass
    assert source.characters == (9 * 20 + 7 + 7 + 1 if is_metered else 0)


async def test_a_run_of_texts_counts_as_its_events() -> None:
    run = b"".join(text(f"{number:020}") for number in range(9))
    compact = run.replace(b'": ', b'":').replace(b', "', b',"')
    source = raw(START, compact + END + PING)
    assert shown(await source.read()) == ["message_start"]
    events = await source.read()
    assert events is not None
    assert any(isinstance(item, TextDeltaRun) for item in events)
    assert source.chunk == compact + END, "nothing behind the end of the message"
    failing = raw(START, compact + OVERLOADED + PING)
    await failing.read()
    await failing.read()
    assert failing.chunk == compact


@pytest.mark.parametrize("bad", [OVERLOADED, b"data: {]\n\n", b"data: -\n\n"])
@pytest.mark.parametrize("before", [b"", b": c\n\n", text("a"), START + b"\n" + text("a") + b": c\n\n"])
async def test_bytes_of_a_failed_event_do_not_pass(before: bytes, bad: bytes) -> None:
    for pieces in ([before + bad + PING], [before, bad, PING], [before, bad[:5], bad[5:] + PING]):
        source, passed = raw(*pieces), b""
        with pytest.raises(GatewayError):
            while await source.read() is not None:
                passed += source.chunk or b""
        assert passed == before


@pytest.mark.parametrize("empty", [
    b"data\n\n", b"data:\n\n", b"event: ping\ndata:\n\n", b"event: ping\ndata: \n\n", b"data:\ndata: \t\n\n",
    b"event: content_block_delta\r\ndata:\r\n\r\n", b"event: message_stop\ndata:\n\n", b"data: null\n\n",
    b"event: error\rdata:  \r\r", b"data: [DONE]\n\n", b"id: 7\ndata:\nretry: 9\n\n",
])  # fmt: skip
async def test_events_without_payload_are_left_out_wherever_they_come(empty: bytes) -> None:
    stream = [START, text("a"), text("b"), PING, END]
    for place in range(len(stream) + 1):
        pieces = [*stream[:place], empty, *stream[place:]]
        whole = b"".join(pieces)
        for cut in ([whole], pieces, [whole[:40], whole[40:]], [bytes([byte]) for byte in whole]):
            source, passed = raw(*cut, None), b""
            while await source.read() is not None:
                passed += source.chunk or b""
            assert passed == b"".join(stream)


# Held back


def held(*pieces: bytes | BaseException | None, size: int = 4096, seconds: float = 2.0) -> BufferedEventSource:
    return BufferedEventSource(reply(*pieces), ClaudeReplyReader(), TextBuffer(size, seconds), loop_time)


async def test_text_is_held_until_a_sentence_ends() -> None:
    source = held(BLOCK + text("How are"), text(" you? I"), STOP, None)
    assert shown(await source.read()) == ["content_block_start"]
    assert source.holds_text
    assert shown(await source.read()) == ["How are you? "]
    assert shown(await source.read()) == ["I", "content_block_stop"]
    assert not source.holds_text
    assert await source.read() is None


async def test_text_is_released_when_it_is_due_and_the_read_continues() -> None:
    scripted = reply(text("a"))
    source = BufferedEventSource(scripted, ClaudeReplyReader(), TextBuffer(4096, 2.0), loop_time)
    assert shown(await source.read()) == []
    before = loop_time()
    assert shown(await source.read()) == ["a"]
    assert loop_time() - before == pytest.approx(2.0)
    scripted.arrive(text("b"))  # for the read that has been waiting all the time
    assert shown(await source.read()) == []
    assert list(source.flush())
    scripted.arrive(None)
    assert await source.read() is None
    await source.aclose()


async def test_text_that_is_due_already_does_not_wait() -> None:
    source = held(text("a"))
    await source.read()
    await asyncio.sleep(5)
    before = loop_time()
    assert shown(await source.read()) == ["a"]
    assert loop_time() == before
    await source.aclose()


async def test_time_is_counted_from_the_first_held_character() -> None:
    scripted = reply(text("a"))
    source = BufferedEventSource(scripted, ClaudeReplyReader(), TextBuffer(4096, 2.0), loop_time)
    before = loop_time()
    await source.read()
    asyncio.get_running_loop().call_later(1.5, scripted.arrive, text("b"))
    assert shown(await source.read()) == []
    assert shown(await source.read()) == ["ab"]
    assert loop_time() - before == pytest.approx(2.0)
    await source.aclose()


async def test_held_text_comes_before_an_error_and_the_end() -> None:
    for last, error in ((CUT, True), (None, False)):
        source = held(text("a"), last)
        assert shown(await source.read()) == []
        assert shown(await source.read()) == ["a"]
        if error:
            for _ in range(2):
                with pytest.raises(UpstreamBroken, match="cut"):
                    await source.read()
        else:
            assert await source.read() is None
        await source.aclose()


async def test_an_error_without_held_text_is_raised_at_once() -> None:
    source = held(CUT)
    with pytest.raises(UpstreamBroken, match="cut"):
        await source.read()


async def test_closing_ends_a_read_that_waits() -> None:
    before = asyncio.all_tasks()
    source = held(text("a"))
    await source.read()
    assert shown(await source.read()) == ["a"]
    assert asyncio.all_tasks() > before
    await source.aclose()
    await source.aclose()
    assert asyncio.all_tasks() == before


async def test_closing_after_a_read_that_failed_reports_nothing() -> None:
    scripted = reply(text("a"))
    source = BufferedEventSource(scripted, ClaudeReplyReader(), TextBuffer(4096, 2.0), loop_time)
    await source.read()
    await source.read()
    scripted.arrive(CUT)
    await asyncio.sleep(1)
    await source.aclose()  # an exception that is not retrieved would be reported, and fail this test


async def test_a_run_of_texts_is_held_back_like_single_ones() -> None:
    run = b"".join(text(f"{number:020}") for number in range(9)).replace(b'": ', b'":').replace(b', "', b',"')
    source = held(BLOCK, run, STOP, None)
    assert [shown(await source.read()) for _ in range(3)] == [
        ["content_block_start"], [], ["".join(f"{number:020}" for number in range(9)), "content_block_stop"],
    ]  # fmt: skip


@pytest.mark.parametrize("empty", [
    b"event: error\n\n", b"event: error\r\n\r\n", b"event: message_stop\r\r", b"event: x\nid: 3\nretry: 5\n\n",
    b": c\nevent: x\n: d\n\n", b"data\n\n", b"event: error\ndata: null\n\n", b"event: ping\ndata: ping\n\n",
])  # fmt: skip
@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytes"])
async def test_bytes_of_events_without_payload_are_left_out(empty: bytes, split: bool) -> None:
    events = [b": keep-alive\n\n", *text_events("a", "b", "c", "d", "e" * 400)]
    for place in range(len(events) + 1):
        whole = b"".join([*events[:place], empty, *events[place:]])
        source = raw(*([bytes([byte]) for byte in whole] if split else [whole]), None)
        passed = b""
        while await source.read() is not None:
            passed += source.chunk or b""
        assert passed == b"".join(events)
