"""What is recorded of a request: one ``AttemptRecord`` for each call to an upstream, one ``ExchangeRecord`` when it is
over. All observers, the log and the metrics among them, work from these records only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct, field

from modelmux.catalog import ModelCard
from modelmux.claude.notices import Notice
from modelmux.claude.reply_state import ReplyState
from modelmux.claude.usage import add
from modelmux.dialects.base import Caller
from modelmux.errors import (
    GatewayError,
    GatewayOverloaded,
    RequestError,
    StoreUnavailable,
    UpstreamRefused,
    UpstreamUnreachable,
)
from modelmux.telemetry.trace_context import SentContext
from modelmux.wire.anthropic import Usage
from modelmux.wire.http import Headers

#: How an exchange ended.
Outcome = Literal["ok", "client_error", "upstream_error", "gateway_error", "drained", "client_gone"]

#: What the gateway refuses by itself. Other errors have their reason upstream, or are internal, and lines of their own.
_REFUSALS: Final = (RequestError, GatewayOverloaded, StoreUnavailable)


def is_refusal(error: GatewayError) -> bool:
    """Whether an error response is a refusal of the gateway's own."""
    return isinstance(error, _REFUSALS)


class AttemptRecord(Struct):
    """One call to an upstream, successful or not. Filled while it runs; times are monotonic seconds.

    :param number: from 1 on, over all attempts of the exchange.
    :param is_retry: it repeats an attempt that failed; false for the first, and for one that continues a paused reply.
    :param reply_headers: of the upstream's reply.
    :param usage: tokens the upstream reported, also of a reply that broke off.
    :param location: of the deployment.
    :param was_sent: the request was on its way, so the upstream may have read it.
    :param is_complete: the reply came whole.
    :param message_id: of the reply.
    :param output_reported: ``usage`` has the output of the reply; at its beginning it has a placeholder.
    :param characters: of text, thinking and inputs of tools that came; only counted where it is charged for.
    :param held: what it and the attempts before it hold of budgets; for whoever settles it.
    :param note: of the request, for whoever makes its row if the process is killed; its ``save`` writes what is new.
    :param first_content_at: when the client got the first content of the reply.
    :param stop_reason: of the reply; None if it had none, because it broke off.
    :param server, status: host that was called, and HTTP status of its reply.
    :param body: of the request, until it is known what it used.
    :param sent_context: the trace that the call said it belongs to; None if it said nothing.
    """

    number: int
    is_retry: bool
    deployment: str
    card: ModelCard
    started_at: float
    ended_at: float | None = None
    usage: Usage | None = None
    upstream_request_id: str | None = None
    error: GatewayError | None = None
    unknown_types: set[str] = set()
    reply_headers: Headers = []
    location: str = ""
    was_sent: bool = False
    is_complete: bool = False
    message_id: str | None = None
    output_reported: bool = False
    characters: int = 0
    body: bytes | None = None
    held: Any = None
    note: Any = None
    first_content_at: float | None = None
    stop_reason: str | None = None
    server: str | None = None
    status: int | None = None
    sent_context: SentContext | None = None

    def mark_sent(self) -> None:
        """The request begins to leave."""
        self.was_sent = True
        if self.note is not None:
            self.note.save()

    def end(self, now: float) -> None:
        """The call is over. Its body is kept if what it used has to be estimated from it."""
        self.ended_at = now
        if self.is_complete or (self.usage is not None and not self.characters):
            self.body = None

    def read_reply(self, state: ReplyState, characters: int) -> None:
        """Take what a reply reported, as far as it came."""
        self.usage, self.unknown_types = state.attempt_usage, state.unknown_types
        self.is_complete, self.characters = state.done, characters
        self.message_id, self.output_reported = state.message_id, state.output_reported
        self.stop_reason = state.stop_reason

    @property
    def may_be_billed(self) -> bool:
        """Whether the upstream may charge for the call: it got the request, and did not refuse it."""
        return self.was_sent and not isinstance(self.error, UpstreamRefused | UpstreamUnreachable)


class Charged(Struct, frozen=True, kw_only=True):
    """What the row of a request in the ledger has of money.

    :param cost: nano-USD; None if the price is unknown. :param price: its id.
    :param hold: nano-USD that budgets held for its calls; None if none did.
    """

    cost: int | None
    price: str | None
    hold: int | None
    tags: tuple[tuple[str, str], ...]


class Admission(Struct):
    """The way of a request to its first attempt. Times are monotonic seconds.

    :param limits: what it has taken of the limits of its key, for whoever corrects it; None if there are none.
    :param waited: seconds that are not the gateway's: for its body, for admission, for files.
    :param queued_at: when it came to the gates. :param admitted_at: when they let it in; None before.
    :param arrived_at: microseconds in UTC; None until it is asked for.
    """

    limits: Any = None
    waited: float = 0.0
    queued_at: float | None = None
    admitted_at: float | None = None
    arrived_at: int | None = None


class ExchangeRecord(Struct, frozen=True):
    """One request from its arrival to its end.

    :param route: the public model name; None if the request did not get that far.
    :param requested_model: as the client wrote it; None if the request did not get that far.
    :param status: HTTP status in the client's dialect; also of an error inside a stream. 499 if the client left.
    :param error: the error sent to the client, if it failed.
    :param stop_reason: why there was no further attempt, if one failed.
    :param headers: of the request.
    :param refused: the gateway itself refused it, in a response: a log line of its own tells of that.
    :param failed_inside: the error came inside a response that HTTP had begun with 200.
    :param is_estimate: the response is an estimate of the gateway's own.
    :param caller: who sent it.
    :param end_user, metadata: as the body names them.
    :param trace_id: of its trace, 32 hexadecimal digits; None if the client began none, and nothing is traced here.
    :param is_sampled: that trace is kept, by the gateway or by its client.
    :param span_id: of the span of the request, 16 hexadecimal digits; None where the gateway makes none.
    :param duration, time_to_first_token: seconds.
    """

    request_id: str
    dialect: str
    operation: str
    route: str | None
    attempts: Sequence[AttemptRecord]
    stream: bool
    outcome: Outcome
    status: int
    error: GatewayError | None
    stop_reason: str | None
    duration: float
    time_to_first_token: float | None
    request_bytes: int
    response_bytes: int
    notices: Sequence[Notice]
    headers: Sequence[tuple[bytes, bytes]] = ()
    is_estimate: bool = False
    requested_model: str | None = None
    refused: bool = False
    failed_inside: bool = False
    caller: Caller = Caller()
    end_user: str | None = None
    metadata: Mapping[str, Any] | None = None
    trace_id: str | None = None
    is_sampled: bool = False
    span_id: str | None = None
    admission: Admission = field(default_factory=Admission)

    @property
    def overhead(self) -> float | None:
        """Seconds that the gateway itself took, before the first attempt and after the last; None if there was none, or
        the request was not admitted by the gates."""
        attempts, admission = self.attempts, self.admission
        if not attempts or admission.admitted_at is None or (ended := attempts[-1].ended_at) is None:
            return None
        return max(0.0, self.duration - admission.waited - (ended - attempts[0].started_at))

    @property
    def usage(self) -> Usage | None:
        """Tokens of all attempts."""
        if len(self.attempts) == 1:
            return self.attempts[0].usage
        total: Usage | None = None
        for attempt in self.attempts:
            total = add(total, attempt.usage)
        return total

    @property
    def upstream_request_id(self) -> str | None:
        """Of the last attempt that has one."""
        return next((a.upstream_request_id for a in reversed(self.attempts) if a.upstream_request_id), None)
