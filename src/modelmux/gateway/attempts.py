"""Attempts: call a deployment, read until there is content, and retry if that may help.

An attempt includes reading the first content: nothing was sent to the client until then, so an "Overloaded" inside a
200 stream is retried like any other error. ``preparation.py`` makes the request for each model, ``retry_loop.py`` tries
deployments.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from modelmux.catalog import missing_model_hint
from modelmux.claude.continuation import concatenate, continuation_turn
from modelmux.claude.fold import MessageFold, to_events
from modelmux.claude.native import NativeRequest
from modelmux.claude.reply_keys import with_client_keys
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.reply_state import ReplyState, unknown_types
from modelmux.claude.request import ClaudeRequest
from modelmux.claude.text_buffer import TextBuffer
from modelmux.dialects.base import ReplyEncoder
from modelmux.errors import GatewayError, OutsideGeography, UpstreamTimeout
from modelmux.gateway.capture.streams import CapturedReply, capture_of
from modelmux.gateway.client_keys import ClientKeysReader
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.gateway.committed_stream import CommittedStream, open_stream
from modelmux.gateway.conversation import Conversation
from modelmux.gateway.deployments import AttemptLease
from modelmux.gateway.event_source import (
    MAX_FOLDED_BYTES,
    BufferedEventSource,
    EventSource,
    MessageEventSource,
    RawEventSource,
)
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.preparation import Preparation, Prepared
from modelmux.gateway.prepare_native import NativePreparation
from modelmux.gateway.prepare_translated import TranslatedPreparation
from modelmux.gateway.recall import with_thinking_of_others
from modelmux.gateway.retry_loop import RetryLoop
from modelmux.gateway.thinking import remember_thinking
from modelmux.providers.base import MAX_ERROR_BODY, MAX_REPLY_BODY, ReplyReader
from modelmux.routing.model import Deployment, Route
from modelmux.telemetry.records import AttemptRecord
from modelmux.upstream.base import Reply
from modelmux.wire.anthropic import InputMessage, Message
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from modelmux.wire.http import find_header

T = TypeVar("T")


class Attempts:
    """All attempts of one exchange.

    :param request: with its files embedded.
    """

    def __init__(
        self,
        exchange: Exchange,
        request: ClaudeRequest | NativeRequest,
        route: Route,
        conversation: Conversation,
    ) -> None:
        self._exchange = exchange
        self._services = exchange.services
        self._route = route
        self._conversation = conversation
        self._preparation: Preparation
        if isinstance(request, NativeRequest):
            self._preparation = NativePreparation(exchange, request, route, self._conversation)
        else:
            self._preparation = TranslatedPreparation(exchange, request, route, self._conversation)
        #: The encoder from which those of further attempts are made.
        self._base_encoder: ReplyEncoder | None = None

    async def message(self) -> CompleteReply:
        """The reply in one piece; one that pauses for its server tools is continued to its end.

        :raises GatewayError: of the last attempt, if there is no further one.
        """
        message, body = await self._run(self._route, self._read_message)
        latest = message
        prepared = self._exchange.prepared
        assert prepared is not None
        pauses = prepared.plan.max_continuations
        while latest.stop_reason == "pause_turn" and pauses > 0:
            pauses -= 1
            latest, body = (await self._continue(continuation_turn(latest), self._read_message)).message, b""
            message = concatenate(message, latest)
        if prepared.keeps_thinking:
            record, owner = self._exchange.attempts[-1], self._exchange.inbound.caller.owner
            remember_thinking(message.content or (), owner, record.card.id, self._services.thinking)
        return CompleteReply(message, body)

    async def first_content(self) -> CommittedStream:
        """The reply as a stream whose first content was read.

        :raises GatewayError: as ``message``.
        """
        return await self._run(self._route, self._open_stream)

    async def resume(self, paused: CommittedStream) -> CommittedStream:
        """The continuation of a stream that paused for its server tools."""
        self._exchange.committed = None
        self._base_encoder = paused.encoder
        paused.close_record(self._services.runtime.clock())
        await paused.aclose()
        return await self._continue(paused.encoder.continuation_turn, self._open_stream)

    async def _continue(self, turn: InputMessage, read: Read[T]) -> T:
        """Ask the model that paused to continue; another model cannot."""
        await self._exchange.run(self._preparation.add_turn, turn)
        return await self._run(self._route.of_model(self._exchange.attempts[-1].card.id), read)

    def _run(self, route: Route, read: Read[T]) -> Awaitable[T]:
        loop = RetryLoop(self._exchange, self._preparation, route, self._conversation)
        return loop.run(functools.partial(self._attempt, read))

    async def _attempt(self, read: Read[T], deployment: Deployment, token: str, is_retry: bool) -> T:
        """One attempt, recorded whatever its outcome."""
        exchange, services = self._exchange, self._services
        if exchange.is_costly:
            prepared = await services.large_requests.run(self._preparation.prepare, deployment)
        else:
            prepared = self._preparation.prepare(deployment)
        if prepared.keeps_thinking and services.thinking.is_shared:
            prepared = await with_thinking_of_others(exchange, self._preparation, deployment, prepared)
        held: object | None = None
        if services.budgets is not None:
            held, prepared = await services.budgets.hold(exchange, prepared, deployment)
        note = None if services.note_call is None else await services.note_call(exchange, prepared, deployment, held)
        clock, number = services.runtime.clock, len(exchange.attempts) + 1
        record = AttemptRecord(
            number, is_retry, deployment.id, deployment.card, clock(),
            location=deployment.location, body=prepared.encoded, held=held, note=note,
        )  # fmt: skip
        exchange.attempts.append(record)
        exchange.prepared = prepared
        exchange.encoder = encoder = self._encoder(prepared.plan)
        call = _Call(deployment, prepared, token, encoder, record)
        lease: AttemptLease | None = None
        try:
            self._check_geography(deployment)
            owner = exchange.inbound.caller.owner
            lease = await services.deployments.acquire(deployment, exchange.time_left, owner)
            self._check_client()
            result = await read(call, lease)
        except GatewayError as error:
            record.error = error
            record.end(clock())
            self._add_retirement_hint(error, deployment)
            try:
                await exchange.run(self._preparation.explain, error, deployment)
            finally:
                if lease is not None:
                    lease.record_failure(error)
                    lease.release()
            self._notify(record)
            raise
        except BaseException:
            record.end(clock())
            if lease is not None:
                lease.release()
            raise
        lease.record_success()
        if isinstance(result, CommittedStream):
            record.read_reply(result.state, 0)  # what it has reported by now
        else:
            record.end(clock())
            lease.release()
        self._notify(record)
        return result

    def _encoder(self, plan: ReplyPlan) -> ReplyEncoder:
        """A fresh encoder for an attempt."""
        base = self._base_encoder or self._exchange.encoder
        if base is None:
            self._base_encoder = self._exchange.new_encoder(plan)
            return self._base_encoder
        self._base_encoder = base
        return base.restart(plan)

    async def _read_message(self, call: _Call, lease: AttemptLease) -> CompleteReply:
        del lease
        reply = await self._send(call)
        try:
            if _is_event_stream(reply):
                return await self._fold(reply, call)
            body = await reply.read(MAX_REPLY_BODY)
            message = self._message(body, call)
            call.record.usage, call.record.is_complete = message.usage, True
            call.record.message_id, call.record.output_reported = message.id or None, True
            call.record.unknown_types, call.record.stop_reason = unknown_types(message), message.stop_reason
            return CompleteReply(message, body)
        finally:
            await reply.aclose()

    async def _open_stream(self, call: _Call, lease: AttemptLease) -> CommittedStream:
        seconds = self._route.timeouts.first_token
        if not seconds:
            return await self._read_first_content(call, lease)
        try:
            async with asyncio.timeout(seconds):
                return await self._read_first_content(call, lease)
        except TimeoutError:
            raise UpstreamTimeout(
                f"The upstream did not begin its reply within {seconds:g} s.", clock="first_token"
            ) from None

    async def _read_first_content(self, call: _Call, lease: AttemptLease) -> CommittedStream:
        reply = await self._send(call)
        source: EventSource | None = None
        try:
            source = await self._source(reply, call)
            explain = functools.partial(self._preparation.explain, deployment=call.deployment)
            return await open_stream(call.encoder, source, reply, lease, call.record, explain)
        except BaseException:
            call.record.read_reply(call.encoder.state, 0 if source is None else source.characters)
            if source is not None:
                await source.aclose()
            await reply.aclose()
            raise

    async def _send(self, call: _Call) -> Reply:
        """The upstream's reply with status 200.

        :raises UpstreamRefused: another status.
        """
        provider, prepared, deployment = self._services.provider, call.prepared, call.deployment
        http_call = provider.call(
            deployment, prepared.encoded, call.token, stream=prepared.stream, betas=prepared.betas, route=self._route
        )
        resend = self._services.retry_policy.max_attempts > 1  # retries are off: nothing may be paid for twice
        http_call = replace(http_call, resend=resend, on_sent=call.record.mark_sent)
        tracer, exchange = self._services.tracer, self._exchange
        if tracer is not None and tracer.propagates:
            call.record.sent_context = sent = tracer.context_of_call(exchange.inbound.headers, exchange.attempts)
            http_call = replace(http_call, headers=[*http_call.headers, *sent.headers], head=b"")
        call.record.server = http_call.origin.host
        capture = capture_of(exchange.client)
        if capture is not None:
            capture.note_call(call.record.number, prepared.encoded)
        reply = await self._services.upstream.send(http_call)
        if capture is not None:
            reply = CapturedReply(reply, capture.begin_reply())
        call.record.reply_headers, call.record.status = reply.headers, reply.status
        call.record.upstream_request_id = find_header(reply.headers, b"request-id")
        if reply.status == 200:
            return reply
        try:
            body = await reply.read(MAX_ERROR_BODY)
        finally:
            await reply.aclose()
        error = provider.error(reply.status, reply.headers, body, deployment, self._services.runtime.now())
        call.record.upstream_request_id = error.reply.request_id or call.record.upstream_request_id
        raise error

    async def _source(self, reply: Reply, call: _Call) -> EventSource:
        """The events of a reply, in the client's stream mode."""
        provider, streams = self._services.provider, self._services.streams
        if not _is_event_stream(reply):  # the upstream replied in one piece nevertheless
            body = await reply.read(MAX_REPLY_BODY)
            events = to_events(self._message(body, call))
            return MessageEventSource(reply, events, provider.stream_of(body) if call.encoder.raw else None)
        reader, is_metered = self._reader(call), self._services.is_metered
        if self._exchange.stream_mode != "buffered":
            kind = RawEventSource if call.encoder.raw else EventSource
            return kind(reply, reader, is_metered=is_metered)
        buffer = TextBuffer(streams.buffer_bytes, streams.buffer_seconds, call.encoder.plan.answer_tool)
        return BufferedEventSource(reply, reader, buffer, self._services.runtime.clock, is_metered=is_metered)

    async def _fold(self, reply: Reply, call: _Call) -> CompleteReply:
        """A long unary reply, streamed from the upstream so that no idle timeout on the way cuts it."""
        fold, state, chunks = MessageFold(), ReplyState(), list[bytes]()
        provider, kind = self._services.provider, RawEventSource if call.encoder.raw else EventSource
        source = kind(reply, self._reader(call), MAX_FOLDED_BYTES, is_metered=self._services.is_metered)
        try:
            while not fold.done and (events := await source.read()) is not None:
                chunks += [source.chunk] if source.chunk is not None else []
                for item in events:
                    for event in item.events() if isinstance(item, TextDeltaRun) else (item,):
                        fold.feed(event)
                        state.feed(event)
            await source.drain()
        finally:
            call.record.read_reply(state, source.characters)
        message = fold.result()
        return CompleteReply(message, provider.body_of(b"".join(chunks)) if call.encoder.raw else b"")

    def _message(self, body: bytes, call: _Call) -> Message:
        """A reply in one piece. Like those of a stream, its calls have the client's keys, unless its bytes are passed
        on: then the encoder sees to that."""
        message = self._services.provider.message(body, call.deployment)
        return message if call.encoder.raw else with_client_keys(message, call.prepared.plan.property_names)

    def _reader(self, call: _Call) -> ReplyReader:
        reader, names = self._services.provider.reader(call.deployment), call.prepared.plan.property_names
        return ClientKeysReader(reader, names) if names and not call.encoder.raw else reader

    def _check_geography(self, deployment: Deployment) -> None:
        """Check the geography at call time, in addition to the check of the configuration."""
        if not self._route.allows_deployment(deployment):
            raise OutsideGeography(
                f"A call for '{self._route.name}' would leave its geography.",
                detail=f"deployment {deployment.id}, geographies {', '.join(self._route.geographies)}",
            )

    def _check_client(self) -> None:
        """Check right before a call that the client is still there.

        :raises ClientDisconnected:
        """
        if self._exchange.client.has_left():
            raise ClientDisconnected

    def _add_retirement_hint(self, error: GatewayError, deployment: Deployment) -> None:
        """Add a hint to a 404 for a model that may have been retired."""
        if error.kind.name == "not_found":
            hint = missing_model_hint(deployment.card, self._services.routes.day)
            if hint is not None:
                error.hint = f"{error.hint} {hint}." if error.hint else f"{hint}."

    def _notify(self, record: AttemptRecord) -> None:
        for observer in self._services.observers:
            observer.attempted(self._exchange.inbound.request_id, record)


class CompleteReply(NamedTuple):
    """A reply in one piece.

    :param body: the same as it came from the upstream; empty if it consists of several.
    """

    message: Message
    body: bytes


class _Call(NamedTuple):
    """One attempt's parameters and its record."""

    deployment: Deployment
    prepared: Prepared
    token: str
    encoder: ReplyEncoder
    record: AttemptRecord


#: Reads the reply to a call: a message or a committed stream.
Read = Callable[[_Call, AttemptLease], Awaitable[T]]


def _is_event_stream(reply: Reply) -> bool:
    return (find_header(reply.headers, b"content-type") or "").startswith("text/event-stream")
