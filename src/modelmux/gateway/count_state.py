"""What the token counts of a process share: a limit of their own, recent results, and what locations refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from modelmux.claude.notices import Notice
from modelmux.gateway.concurrency import ConcurrencyLimiter
from modelmux.gateway.refusals import Refusals
from modelmux.gateway.shared_calls import SharedCalls

#: Calls in flight: Claude Code asks for up to 27 counts at once, and counting has a small quota of its own.
MAX_IN_FLIGHT: Final = 8
#: Counts that wait for one of these, and for how many seconds; further ones are estimated.
MAX_QUEUED: Final = 256
QUEUE_TIMEOUT: Final = 10.0
#: Seconds for which a result is kept, and how many are.
RESULT_SECONDS: Final = 60.0
MAX_RESULTS: Final = 4096


class CountReply(NamedTuple):
    """An upstream's count.

    :param body: as it came.
    :param notices: what was changed about the request.
    """

    body: bytes
    notices: Sequence[Notice]


class CountState:
    """
    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.limiter = ConcurrencyLimiter(
            MAX_IN_FLIGHT,
            queue=MAX_QUEUED,
            queue_timeout=QUEUE_TIMEOUT,
            min_wait=QUEUE_TIMEOUT,  # a burst of counts is usual, and a late count better than an estimate
            subject="Token counting",
            clock=clock,
        )
        self.replies = SharedCalls[CountReply](clock, seconds=RESULT_SECONDS, max_results=MAX_RESULTS)
        #: Fields by location; betas have a table of their own.
        self.refusals = Refusals(clock)
