"""The life of one request: received, resolved, admitted, attempting, committed, ended, settled.

``async with Exchange(...)`` guarantees the last step. Whatever ends a request (completion, an error, a disconnect, a
shutdown), the client gets at most one error, in its own dialect, and the request is settled exactly once.

    state        what is known                           what an error becomes
    received     inbound                                 an error response
    resolved     decoded, route, deadline                an error response
    attempting   attempts so far                         an error response, or in-band once keep-alives have begun
    committed    encoder of the attempt with content     an error inside the stream
    settled      everything; observers were called       nothing more happens
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

from msgspec.structs import replace

from modelmux.claude.native import NativeRequest
from modelmux.claude.notices import Notice
from modelmux.claude.prompt_bytes import prompt_bytes
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.dialects.base import Decoded, Dialect, Inbound, ReplyEncoder
from modelmux.errors import INTERNAL_MESSAGE, GatewayError, without_traceback
from modelmux.gateway.cancellation import uncancel
from modelmux.gateway.capture.streams import capture_of, captured
from modelmux.gateway.client_stream import ClientStream
from modelmux.gateway.committed_stream import CommittedStream
from modelmux.gateway.large_requests import LargeRequests, decode_large, is_costly
from modelmux.gateway.named_model import named_model
from modelmux.gateway.preparation import Prepared
from modelmux.gateway.response_headers import early_headers, reply_headers
from modelmux.gateway.services import Admitted, Services
from modelmux.gateway.settle import outcome_of, trace_of, with_kept_trace
from modelmux.gateway.thinking import remember_thinking
from modelmux.routing.model import Route
from modelmux.routing.stream_mode import Mode
from modelmux.telemetry import names
from modelmux.telemetry.log import error_location
from modelmux.telemetry.records import Admission, AttemptRecord, ExchangeRecord, is_refusal
from modelmux.wire.http import CAPTURE_NOTICE, Headers

#: The status of a request whose client left before its end, which was told nothing: nginx's, as log readers expect it.
CLIENT_CLOSED_REQUEST: Final = 499

T = TypeVar("T")


class Exchange:
    """One request. Only ``gateway`` writes here."""

    __slots__ = (
        "admission", "attempts", "client", "committed", "decoded", "dialect", "encoder", "inbound",
        "prepared", "route", "services", "settled", "stop_reason", "stream_mode",
    )  # fmt: skip

    def __init__(self, inbound: Inbound, dialect: Dialect, client: ClientStream, services: Services) -> None:
        self.inbound = inbound
        self.dialect = dialect
        self.client = client if services.traces is None else captured(client, services.traces.capture_of(inbound))
        self.services = services
        self.decoded: Decoded | None = None
        self.route: Route | None = None
        self.stream_mode: Mode = "standard"
        self.attempts: list[AttemptRecord] = []
        self.admission = Admission()
        #: Of the latest attempt; before the first one, the encoder that has made keep-alives, if any were due.
        self.prepared: Prepared | None = None
        self.encoder: ReplyEncoder | None = None
        #: The stream whose first content was read; there are no retries after that.
        self.committed: CommittedStream | None = None
        #: Why there was no further attempt after a failed one.
        self.stop_reason: str | None = None
        self.settled = False

    async def decode(self, body: bytes) -> Decoded:
        """Decode the body.

        :raises InvalidRequest:
        """
        try:
            if not is_costly(body):
                return self._measured(self.dialect.decode(self.inbound, body), body)
        except GatewayError as error:
            error.model = named_model(self.inbound.path_params, body)
            raise
        decoded = await self.services.large_requests.run(decode_large, self.dialect.decode, self.inbound, body)
        return self._measured(decoded, body)

    def _measured(self, decoded: Decoded, body: bytes) -> Decoded:
        """With the length of the prompt, where it is limited."""
        limits = self.services.limits
        if limits is None or not limits.measures(self.inbound.caller):
            return decoded
        return replace(decoded, prompt_bytes=prompt_bytes(body))

    def resolve(self, decoded: Decoded) -> Route:
        """Find the route of the requested model, and how its reply is sent.

        :raises ModelNotFound: :raises NotPermitted:
        """
        services = self.services
        self.decoded = decoded
        self.route = route = services.routes.permitted(decoded.model, self.inbound.caller.models)
        if decoded.stream and self.native is None:  # a native client gets the stream that it knows
            self.stream_mode = services.streams.modes.find(self.inbound.headers)
        return route

    def new_encoder(self, plan: ReplyPlan) -> ReplyEncoder:
        """The first encoder; all others are made from it."""
        runtime, request_id = self.services.runtime, self.inbound.request_id
        self.encoder = self.dialect.encoder(
            plan, id=runtime.new_id(32), created=int(runtime.now()), request_id=request_id
        )
        return self.encoder

    @property
    def native(self) -> NativeRequest | None:
        """The request in the client's own bytes, if the provider speaks the client's dialect."""
        if self.decoded is None or self.dialect.name not in self.services.provider.native_dialects:
            return None
        return self.decoded.native

    @property
    def request(self) -> ClaudeRequest | NativeRequest:
        """What is sent upstream, before it is prepared for a deployment."""
        assert self.decoded is not None
        request = self.native or self.decoded.request
        assert request is not None  # a dialect that only passes requests on meets a provider that speaks it
        return request

    @property
    def large_requests(self) -> LargeRequests | None:
        """The thread for this request; None if it takes no longer than usual."""
        return self.services.large_requests if self.is_costly else None

    @property
    def is_costly(self) -> bool:
        """Whether the request is translated in a thread."""
        return self.decoded is not None and self.decoded.is_costly

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """The result of a function of the request; in the thread if the request is costly.

        What every request needs asks ``is_costly`` itself, without the cost of a coroutine.
        """
        if self.is_costly:
            return await self.services.large_requests.run(function, *arguments)
        return function(*arguments)

    @property
    def max_attempts(self) -> int | None:
        """A limit of this request's own."""
        return self.decoded.max_attempts if self.decoded is not None else None

    @property
    def sends_events(self) -> bool:
        """Whether the client gets an event stream."""
        return self.decoded is not None and self.decoded.stream and self.stream_mode != "json"

    @property
    def deadline(self) -> float:
        """Monotonic seconds; no attempt starts at the deadline or later."""
        total = self.route.timeouts.total if self.route is not None else math.inf
        return self.inbound.received_at + min(total, self.inbound.timeout)

    @property
    def time_left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - self.services.runtime.clock()

    @property
    def notices(self) -> Sequence[Notice]:
        """What was changed about the request."""
        return self.prepared.notices if self.prepared is not None else ()

    @property
    def relays_events(self) -> bool:
        """Whether the reply is sent as it arrives, in larger pieces at most."""
        return self.sends_events and self.stream_mode != "single"

    @property
    def headers(self) -> Headers:
        """Of a response with a reply."""
        assert self.route is not None
        attempt, request_id = self.attempts[-1] if self.attempts else None, self.inbound.request_id
        card = attempt.card if attempt is not None else self.route.card
        early = early_headers(request_id, card.id, self.stream_mode)
        own = self._own_headers(attempt.reply_headers if attempt is not None else [])
        routes = self.services.routes
        return early + own + reply_headers(self.attempts, card, self.notices, routes.warning(card), routes.day)

    def _own_headers(self, upstream: Headers) -> Headers:
        """Those of the dialect, and what is left of the limits of the key; the upstream's limits are the gateway's."""
        headers = self.dialect.reply_headers(self.inbound.request_id, upstream)
        if capture_of(self.client) is not None:
            headers = [*headers, CAPTURE_NOTICE]
        admitted: Admitted | None = self.admission.limits
        if admitted is None:
            return headers
        runtime = self.services.runtime
        limits = self.dialect.rate_limit_headers(admitted.limits(runtime.clock(), runtime.now()))
        names = {name for name, _ in limits} if headers else ()
        return [*(header for header in headers if header[0] not in names), *limits]

    def keep_alive(self) -> None:
        """Start the keep-alives of a client that waits for its stream."""
        interval, route, decoded = self.services.streams.keep_alive_interval, self.route, self.decoded
        if not interval or not self.sends_events or route is None or decoded is None:
            return
        model = None if route.has_several_models else route.card.id
        request_id, mode = self.inbound.request_id, self.stream_mode

        def sign_of_life(idle: float) -> bytes:
            encoder = self.encoder or self.new_encoder(decoded.plan)
            return encoder.keep_alive(idle)

        def headers() -> Headers:
            return early_headers(request_id, model, mode) + self._own_headers([])

        self.client.keep_alive(interval, sign_of_life, headers)

    def note_first_content(self) -> None:
        """Record the time of the first content."""
        self.attempts[-1].first_content_at = self.services.runtime.clock()

    def settle(self, error: GatewayError | None, *, client_disconnected: bool = False) -> None:
        """Hand the record of the ended exchange to the observers, once.

        :param error: sent to the client, if it failed. :param client_disconnected: the client left before the end.
        """
        if self.settled:
            return
        self.settled = True
        services, inbound, tracer = self.services, self.inbound, self.services.tracer
        if services.running is not None:
            services.running.discard(self)
        first = next((one.first_content_at for one in self.attempts if one.first_content_at is not None), None)
        now = services.runtime.clock()
        self._close_record(now)
        outcome = outcome_of(error, client_disconnected=client_disconnected)
        has_left = outcome == names.OUTCOME_CLIENT_DISCONNECTED
        parent, trace, is_sampled = trace_of(inbound.headers, tracer, services.runtime.new_id, self.attempts)
        record = ExchangeRecord(
            request_id=inbound.request_id,
            dialect=self.dialect.name,
            operation=inbound.operation,
            route=self.route.name if self.route is not None else None,
            attempts=self.attempts,
            stream=self.decoded is not None and self.decoded.stream,
            outcome=outcome,
            status=CLIENT_CLOSED_REQUEST if has_left else 200 if error is None else self._status_of(error),
            error=error,
            stop_reason=self.stop_reason,
            duration=now - inbound.received_at,
            time_to_first_token=None if first is None else first - inbound.received_at,
            request_bytes=self.client.bytes_received,
            response_bytes=self.client.bytes_sent,
            notices=self.notices,
            headers=inbound.headers,
            is_estimate=self.prepared is not None and self.prepared.is_estimate,
            refused=error is not None and not self.client.started and is_refusal(error),
            failed_inside=error is not None and self.client.started and not has_left,
            requested_model=self.decoded.model if self.decoded is not None else error.model if error else None,
            caller=inbound.caller,
            end_user=self.decoded.end_user if self.decoded is not None else None,
            metadata=self.decoded.metadata if self.decoded is not None else None,
            trace_id=trace,
            is_sampled=is_sampled,
            admission=self.admission,
        )
        record = with_kept_trace(record, tracer, now)
        for observer in services.observers:
            observer.settled(record)
        body = self.prepared.encoded if self.prepared is not None else None
        if tracer is not None:
            tracer.settled(record, parent, body, now)
        if services.traces is not None:
            session = self.decoded.conversation_id if self.decoded is not None else None
            services.traces.settled(record, body, session, now, capture_of(self.client))

    def _close_record(self, now: float) -> None:
        """End the record of the attempt with content, and keep the thinking of its reply."""
        stream = self.committed
        if stream is None:
            return
        stream.close_record(now)
        if stream.state.done and self.prepared is not None and self.prepared.keeps_thinking:
            blocks = stream.state.thinking_and_tools
            remember_thinking(blocks, self.inbound.caller.owner, stream.record.card.id, self.services.thinking)

    async def __aenter__(self) -> Self:
        if (running := self.services.running) is not None:
            running.add(self)
        for observer in self.services.observers:
            observer.started()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            if error is None:
                self.settle(None)
                return True
            return await self._end_with(error)
        finally:
            try:
                await self._release()
            finally:
                self.settle(None, client_disconnected=True)  # no effect if it is settled

    async def _release(self) -> None:
        """Stop and close what runs for the client. It has its response, or its error is on the way: a failure here is
        for the log only."""
        try:
            try:
                await self.client.stop_keep_alive()
            finally:
                if self.committed is not None:
                    await self.committed.aclose()
        except Exception as error:  # noqa: BLE001 - see above
            self._log_internal_error(error)

    async def _end_with(self, error: BaseException) -> bool:
        """Send the error to the client, if that is possible here.

        :returns: whether the error is dealt with; if not, nothing was sent, and the caller sends it.
        """
        if isinstance(error, GatewayError):
            if self.decoded is not None:
                error.model = self.decoded.model
            error.key = self.inbound.caller.owner if self.inbound.caller.is_account else error.key
            error.request_headers = self.inbound.headers
            error.is_captured = capture_of(self.client) is not None
            dealt_with = await self._fail(error)
            without_traceback(error)
            return dealt_with
        if isinstance(error, OSError):  # the client has left; some servers report it as another OSError
            return True
        if isinstance(error, asyncio.CancelledError):
            ending = self.client.ending
            if ending is None:  # cancelled by someone else: propagate
                return False
            uncancel()
            if await self._fail(ending):
                return True
            raise ending from None
        if not isinstance(error, Exception):
            return False
        failure = GatewayError(INTERNAL_MESSAGE)
        if not self.client.started:
            self.settle(failure)
            return False
        self._log_internal_error(error)
        return await self._fail(failure)

    def _status_of(self, error: GatewayError) -> int:
        return self.dialect.error(error, self.inbound.request_id).status

    def _log_internal_error(self, error: Exception) -> None:
        self.services.log.error(
            names.EVENT_INTERNAL_ERROR, request_id=self.inbound.request_id, traceback=error_location(error)
        )

    async def _fail(self, error: GatewayError) -> bool:
        """Settle, and send the error inside the stream where its head is out."""
        client = self.client
        if client.ended:  # it has been sent all of its response, though it may not have read it yet
            self.settle(None)
            return True
        if self.is_costly and self.committed is not None:
            await self.services.large_requests.run(self.committed.explain, error)
        data = self._failure(error)
        if (capture := capture_of(client)) is not None:  # it is settled before the error is sent
            capture.note_failure(self.dialect, error, data if client.started else None)
        self.settle(error)
        if not client.started:
            return False
        for observer in self.services.observers:
            observer.error_sent(error, self._status_of(error))
        with contextlib.suppress(OSError):  # the client has left
            await client.end(data)
        return True

    def _failure(self, error: GatewayError) -> bytes:
        """The end of a stream that failed."""
        if self.committed is not None:
            return self.committed.fail(error)
        if self.decoded is None or not self.sends_events:
            return b""
        encoder = self.encoder or self.new_encoder(self.decoded.plan)  # the first keep-alive may still wait to be sent
        return encoder.fail(error)
