"""Risk: what was encoded of a network read is lost, because the next event of the same read cannot be encoded."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.errors import UpstreamBroken
from modelmux.wire.anthropic import StreamEvent
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from support.dialects import TinyHub, TinyHubEncoder, TinyNative, TinyNativeEncoder, named
from support.fakes import text_events
from support.playbook import Playbook, calls, ends, gets, head, sends, settled, starts

pytestmark = pytest.mark.virtual_time
BEGIN = named("begin", id="0" * 32)
START, PING, BLOCK, HEL, BAD, LO, *END = text_events("Hel", "bad", "lo")


class FailingHub(TinyHub):
    def encoder(self, plan: ReplyPlan, *, id: str, created: int, request_id: str) -> TinyHubEncoder:
        del created, request_id
        return FailingHubEncoder(plan, id)


class FailingHubEncoder(TinyHubEncoder):
    def feed(self, event: StreamEvent) -> bytes:
        if event.delta is not None and event.delta.text == "bad":
            raise UpstreamBroken("unreadable", reply_started=True)
        return super().feed(event)

    def feed_run(self, run: TextDeltaRun) -> bytes | None:
        return None

    def restart(self, plan: ReplyPlan) -> TinyHubEncoder:
        return FailingHubEncoder(plan, self._id)


class FailingNative(TinyNative):
    def encoder(self, plan: ReplyPlan, *, id: str, created: int, request_id: str) -> TinyNativeEncoder:
        return FailingNativeEncoder(plan, super().encoder(plan, id=id, created=created, request_id=request_id)._numbers)


class FailingNativeEncoder(TinyNativeEncoder):
    def feed_chunk(self, data: bytes, events: Sequence[StreamEvent | TextDeltaRun]) -> bytes:
        before, bad, _ = data.partition(BAD)
        if bad:
            self.failure = UpstreamBroken("unreadable", reply_started=True)
            return super().feed_chunk(before, events[:4])
        return super().feed_chunk(data, events)

    def restart(self, plan: ReplyPlan) -> TinyNativeEncoder:
        return FailingNativeEncoder(plan, self._numbers)


@pytest.mark.parametrize("reads", [[START, PING + BLOCK + HEL + BAD + LO], [START + PING + BLOCK + HEL + BAD + LO]])
async def test_events_before_one_that_cannot_be_encoded_reach_the_client(reads: list[bytes]) -> None:
    await (
        Playbook(FailingHub()) << calls("a") >> head() >> sends(*reads)
        << starts() << gets(BEGIN + named("text", text="Hel")) << ends(named("failed", kind="broken"))
        << settled("upstream_error")
    ).play()  # fmt: skip


async def test_also_those_of_a_later_read() -> None:
    await (
        Playbook(FailingHub()) << calls("a") >> head() >> sends(START + PING + BLOCK + LO)
        << starts() << gets(BEGIN + named("text", text="lo")) >> sends(HEL + BAD + LO)
        << gets(named("text", text="Hel")) << ends(named("failed", kind="broken")) << settled("upstream_error")
    ).play()  # fmt: skip


async def test_bytes_before_an_event_that_cannot_be_edited_reach_the_client() -> None:
    early = START + PING + BLOCK + HEL
    await (
        Playbook(FailingNative()) << calls("a") >> head() >> sends(early + BAD + LO)
        << starts() << gets(early) << ends(named("error", type="error", error={"type": "api_error"}, number=1))
        << settled("upstream_error")
    ).play()  # fmt: skip
