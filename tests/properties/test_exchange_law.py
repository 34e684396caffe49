"""An exchange ends once, whatever happens to it.

Any split of the upstream's bytes, any pause, any error, and a client that leaves at any step, or does not read, or a
process that ends: there is one end for the client (none for one that left), one settlement with one record for each
attempt, and every lease, gate and reply is released.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from modelmux.dialects.base import Dialect
from modelmux.errors import GatewayError, UpstreamBroken, UpstreamUnreachable
from support import playbook
from support.clock import VirtualTimeLoop
from support.dialects import TINY_HUB, TINY_NATIVE
from support.exchange_world import A, B, Called, Ended, Got, Raised, Responded, ScriptedReply, Setting, Started, World
from support.fakes import SSE_HEADERS, event, text_events

DIALECTS = [TINY_HUB, TINY_NATIVE]
TEXTS = ("How are", " you? I", " am", " fine.")
WHOLE_TEXT = "".join(TEXTS)
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
PAUSES = st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 3.0, 20.0])
#: More steps than any script has.
MAX_STEPS = 200


def stream_of(number: int, texts: tuple[str, ...] = TEXTS) -> bytes:
    """A complete stream; its input tokens say of which attempt."""
    usage = {"input_tokens": 100 + number, "output_tokens": 1}
    start = event("message_start", message={"type": "message", "content": [], "usage": usage})
    return b"".join([start, *text_events(*texts)[1:]])


@dataclass
class Attempt:
    """What an upstream does with one call.

    :param refusal: in place of a stream: no connection, or a status.
    :param share: of the stream, in 1/16; the rest is not sent.
    :param cuts: where its bytes are cut, in 1/64.
    :param end: what follows the bytes; None for silence.
    """

    refusal: int | None = None
    share: int = 16
    cuts: list[int] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    end: Literal["close", "break", "error", "fault"] | None = "close"

    def pieces(self, number: int) -> list[bytes]:
        raw = stream_of(number)
        raw = raw[: len(raw) * self.share // 16]
        if self.end == "error":
            raw = raw[: raw.rfind(b"\n\n") + 2] + OVERLOADED
        cuts = sorted({len(raw) * cut // 64 for cut in self.cuts} - {0, len(raw)})
        return [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) if a < b]


ATTEMPTS = st.builds(
    Attempt,
    refusal=st.sampled_from([None, None, None, None, 0, 400, 429, 529]),
    share=st.sampled_from([0, 1, 4, 7, 9, 12, 15, 16, 16, 16]),
    cuts=st.lists(st.integers(0, 63), max_size=6),
    pauses=st.lists(PAUSES, max_size=8),
    end=st.sampled_from(["close", "close", "break", "error", "fault", None]),
)


@dataclass
class Interference:
    """What happens before which step, apart from the upstream."""

    kind: Literal["none", "leaves", "shutdown", "cancel", "stops reading"]
    step: int
    keep_alives: frozenset[int]
    timeout: float


INTERFERENCE = st.builds(
    Interference,
    kind=st.sampled_from(["none", "none", "leaves", "leaves", "leaves", "shutdown", "cancel", "stops reading"]),
    step=st.integers(0, 30),
    keep_alives=st.frozensets(st.integers(0, 30), max_size=3),
    timeout=st.sampled_from([float("inf"), float("inf"), 2.0, 30.0]),
)


class Performance:
    """One exchange of which the upstream and the client do what was drawn."""

    def __init__(self, world: World, attempts: list[Attempt], interference: Interference) -> None:
        self.world = world
        self._attempts = attempts
        self._interference = interference
        self._steps = 0
        self.interfered = self.left = False
        #: Attempts whose first event has arrived completely, and what of their bytes has.
        self.delivered: dict[int, bytes] = {}

    async def run(self) -> None:
        world = self.world
        world.start()
        number = 0
        await self._step()
        while not world.over and self._steps < MAX_STEPS:
            if world.upstream.waiting is None:
                await asyncio.sleep(5)  # a pause between attempts, a drain, a silence
                await self._step()
                continue
            attempt = self._attempts[number] if number < len(self._attempts) else Attempt()
            number += 1
            await self._perform(attempt, len(world.upstream.calls))
        if not world.over:  # the upstream is silent for ever
            self._leave()
            await world.settle_down()

    async def _perform(self, attempt: Attempt, number: int) -> None:
        world = self.world
        if attempt.refusal == 0:
            world.upstream.answer(UpstreamUnreachable("no route"))
        elif attempt.refusal is not None:
            playbook.replies({"error": {"code": attempt.refusal, "message": "no"}}, attempt.refusal)(world)
        else:
            reply = ScriptedReply(200, SSE_HEADERS)
            world.upstream.answer(reply)
            await self._step()
            await self._stream(attempt, number, reply)
        await self._step()

    async def _stream(self, attempt: Attempt, number: int, reply: ScriptedReply) -> None:
        pauses = iter(attempt.pauses)
        for piece in attempt.pieces(number):
            if reply.closed or self.world.over:
                return
            reply.arrive(piece)
            self.delivered[number] = self.delivered.get(number, b"") + piece
            await self._step()
            await asyncio.sleep(next(pauses, 0.0))
        if not reply.closed and attempt.end in ("close", "error"):
            reply.arrive(None)
        elif not reply.closed and attempt.end is not None:
            reply.arrive(UpstreamBroken("cut", reply_started=True) if attempt.end == "break" else ZeroDivisionError())

    async def _step(self) -> None:
        interference, world = self._interference, self.world
        await world.settle_down()
        if self._steps in interference.keep_alives and not world.over:
            playbook.keep_alive()(world)
        if self._steps == interference.step and not world.over and interference.kind != "none":
            self._interfere(interference.kind)
        self._steps += 1
        await world.settle_down()

    def _interfere(self, kind: str) -> None:
        self.interfered = True
        if kind == "leaves":
            self._leave()
        elif kind == "stops reading":
            playbook.stops_reading()(self.world)
        else:
            (playbook.shutdown() if kind == "shutdown" else playbook.cancel())(self.world)

    def _leave(self) -> None:
        self.left = True
        playbook.leaves()(self.world)


def perform(dialect: Dialect, attempts: list[Attempt], interference: Interference, **setting: Any) -> Performance:
    async def run() -> Performance:
        world = World(dialect, Setting(deployments=(A, B), timeout=interference.timeout, **setting))
        performance = Performance(world, attempts, interference)
        try:
            await performance.run()
            await asyncio.sleep(1)
            world.check_released()
        finally:
            await world.finish()
        return performance

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(run())


def events_of(data: bytes) -> list[tuple[str, bytes]]:
    """Name and bytes of each event; a comment has no name."""
    parts = [part + b"\n\n" for part in data.split(b"\n\n")[:-1]]
    return [(part.split(b"\n")[0].partition(b"event: ")[2].decode(), part) for part in parts]


@pytest.mark.parametrize("mode", ["standard", "buffered"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(st.lists(ATTEMPTS, max_size=4), INTERFERENCE)
def test_a_stream_ends_once(dialect: Dialect, mode: Any, attempts: list[Attempt], interference: Interference) -> None:
    performance = perform(dialect, attempts, interference, mode=mode)
    world = performance.world
    note(f"{world.record.outcome} after {len(world.record.attempts)} attempts")
    check_end(performance, interference)
    check_records(performance, interference)
    check_stream(performance, dialect, mode)


def check_end(performance: Performance, interference: Interference) -> None:
    """One end for the client, and what is settled agrees with it."""
    world = performance.world
    ends = [effect for effect in world.effects if isinstance(effect, Ended | Responded | Raised)]
    if len(ends) == 2 and performance.interfered:  # cancelled while it released
        assert interference.kind in ("shutdown", "cancel")
        last = ends.pop()
        assert isinstance(last, Raised)
        assert isinstance(last.error, asyncio.CancelledError)
    assert len([effect for effect in world.effects if isinstance(effect, Started)]) <= 1
    assert len(ends) <= 1
    for end in ends:
        after = world.effects[world.effects.index(end) + 1 :]
        assert not any(isinstance(effect, Got | Started | Called) for effect in after)
    if interference.kind == "cancel" and performance.interfered and world.record.outcome == "client_gone":
        return
    if not performance.left:
        assert len(ends) == 1
        assert world.record.outcome != "client_gone"
    if not ends:
        assert world.record.outcome == "client_gone"
        return
    raised = ends[0].error if isinstance(ends[0], Raised) else None
    if raised is not None:
        assert isinstance(raised, GatewayError | ZeroDivisionError | asyncio.CancelledError)
        assert not any(isinstance(effect, Started | Got) for effect in world.effects), "the server sends it"


def check_records(performance: Performance, interference: Interference) -> None:
    """One record for each attempt, with what it used, failed or not."""
    world = performance.world
    assert len(world.record.attempts) == len(world.upstream.calls)
    if interference.kind == "stops reading":  # nor does the gateway read then
        return
    used = {
        number: 100 + number
        for number, data in performance.delivered.items()
        if data.startswith(b"event: message_start\n") and b"\n\n" in data
    }
    recorded = {
        attempt.number: attempt.usage.input_tokens for attempt in world.record.attempts if attempt.usage is not None
    }
    assert recorded == used
    assert (world.record.usage.input_tokens if world.record.usage else 0) == sum(used.values())


def check_stream(performance: Performance, dialect: Dialect, mode: str) -> None:
    """What the client got is the beginning of the reply, or all of it with the regular end; then at most one error."""
    world = performance.world
    output = playbook.client_output(world.effects)
    ended = any(isinstance(effect, Ended) for effect in world.effects)
    if not output:
        return
    assert output.endswith(b"\n\n"), "complete events only"
    events = [(name, part) for name, part in events_of(output) if name not in ("", "in_progress")]
    names = [name for name, _ in events]
    terminal = ("end", "failed") if dialect is TINY_HUB else ("message_stop", "error")
    assert [name for name in names if name in terminal] == (names[-1:] if ended else [])
    if not ended:
        return
    complete = names[-1] == terminal[0]
    assert complete == (world.record.outcome == "ok") or performance.left
    if mode == "standard" and dialect is TINY_NATIVE:
        upstream = [part for name, part in events if name != "error"]
        whole = stream_of(world.record.attempts[-1].number)
        assert whole.startswith(b"".join(upstream))
        assert not complete or whole == b"".join(upstream)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(
    st.lists(st.integers(0, 63), max_size=8), st.sampled_from([0, 4, 9, 12, 15, 16]),
    st.sampled_from(["close", "break", "error"]),
)  # fmt: skip
def test_how_the_bytes_are_split_makes_no_difference(dialect: Dialect, cuts: list[int], share: int, end: Any) -> None:
    """The split law, for the hub and for bytes that pass as they came."""
    nothing = Interference("none", 0, frozenset(), float("inf"))

    def output(cuts: list[int]) -> tuple[bytes, str]:
        world = perform(dialect, [Attempt(share=share, cuts=cuts, end=end)], nothing, max_attempts=1).world
        return playbook.client_output(world.effects), world.record.outcome

    assert output(cuts) == output([])


@given(st.lists(ATTEMPTS, max_size=3), INTERFERENCE)
def test_a_reply_in_one_piece_is_sent_once(attempts: list[Attempt], interference: Interference) -> None:
    performance = perform(TINY_HUB, attempts, interference, stream=False, request={"max_tokens": 10_000})
    check_end(performance, interference)
    check_records(performance, interference)
    bodies = [effect.body for effect in performance.world.effects if isinstance(effect, Responded)]
    assert all(WHOLE_TEXT.encode() in body for body in bodies)
