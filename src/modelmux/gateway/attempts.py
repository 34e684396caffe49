"""Attempts: call a deployment, read until there is content, try again where it may help.

An attempt includes reading the first content: until then nothing was promised to the client, so an "Overloaded"
inside a 200 stream is retried like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Final

import msgspec

from modelmux.claude import fold, thinking_blocks
from modelmux.claude.draft import SignedThinking
from modelmux.claude.prepare import PreparedRequest
from modelmux.claude.upstream_errors import hide_project, translate_fault
from modelmux.errors import GatewayError, UpstreamBroken, UpstreamRefused, UpstreamTimeout
from modelmux.gateway.deployments import Stay
from modelmux.gateway.exchange import Exchange, Services
from modelmux.gateway.relay import Bounded, EventReader, StreamRelay
from modelmux.gateway.settle import loggable
from modelmux.providers.vertex_claude.provider import MAX_ERROR_BODY, MAX_REPLY_BODY
from modelmux.routing.retry import GiveUp, decide
from modelmux.routing.routes import Deployment, Route
from modelmux.telemetry import names
from modelmux.upstream.base import Reply
from modelmux.wire import anthropic
from modelmux.wire.google.vertex import decode_fault
from modelmux.wire.http import Headers

#: A unary request that may produce more than this is streamed from Vertex AI and folded: no idle timeout on the way
#: can cut it while the model writes.
LONG_REPLY_TOKENS: Final = 8_192


class Attempts:
    """All attempts of one exchange.

    :param relay: where a streamed reply goes; None for a unary one.
    """

    def __init__(
        self,
        route: Route,
        translated: PreparedRequest,
        relay: StreamRelay | None,
        exchange: Exchange,
        services: Services,
    ) -> None:
        self._route = route
        self._body = translated.body
        self._betas = translated.betas
        self._relay = relay
        self._exchange = exchange
        self._services = services
        self._thoughtless = True
        if thoughts := thinking_blocks.all_thinking(self._body):
            self._leave_out_refused(thoughts)
        long = translated.body.max_tokens > LONG_REPLY_TOKENS
        self._stream = relay is not None or long
        self._body.stream = True if self._stream else None

    async def go_on(self, turn: anthropic.InputMessage) -> anthropic.Message | None:
        """Ask the upstream to continue after a pause; ``turn`` is what it has said so far."""
        self._body.messages = [*self._body.messages, turn]
        return await self.run()

    async def whole(self, pauses: int) -> anthropic.Message | None:
        """``run``, and for a unary request on to the reply's end, where it pauses for its server tools."""
        message = latest = await self.run()
        while message is not None and latest is not None and latest.stop_reason == "pause_turn" and pauses > 0:
            pauses -= 1
            latest = await self.go_on(fold.resumption(latest))  # what came before it has been handed back already
            assert latest is not None
            message = fold.joined(message, latest)
        return message

    async def run(self) -> anthropic.Message | None:
        """Try deployments until one gives content.

        :returns: the whole message for a unary request; None once the relay holds the reply.
        :raises GatewayError: of the last attempt, when no further one is worth it.
        """
        services, exchange, route = self._services, self._exchange, self._route
        fleet, tried, renewed = services.fleet, list[Deployment](), False
        budget = fleet.budget(route)
        budget.earn()
        deployment = fleet.first(route, exchange.affinity, services.jitter())
        token = await services.tokens.token()
        encoded = anthropic.encode_request(self._body)
        while True:
            tried.append(deployment)
            exchange.tried.append(deployment)
            try:
                return await self._once(deployment, encoded, token)
            except GatewayError as error:
                hide_project(error, deployment.project)
                self._note(error, deployment)
                verdict = decide(
                    error,
                    route=route,
                    tried=tuple(tried),
                    renewed=renewed,
                    thoughtless=self._thoughtless,
                    policy=services.policy,
                    jitter=services.jitter(),
                    standings=fleet.standings(route),
                    key=exchange.affinity,
                    now=services.clock(),
                    deadline=exchange.deadline,
                    spare=budget.spare,
                )
                if isinstance(verdict, GiveUp):
                    if verdict.no_quota is not None:
                        raise fleet.no_quota(verdict.no_quota) from error
                    raise
                error.__traceback__ = None  # the reply may hold the error, and its frames hold the reply
            if verdict.renew_token:
                token, renewed = await services.tokens.renew(token), True
            elif verdict.drop_thoughts:
                self._drop_thoughts()
                encoded = anthropic.encode_request(self._body)
            else:  # those two are not an outage's
                budget.spend()
            if verdict.delay:
                await services.sleep(verdict.delay)
                token = await services.tokens.token()
            services.metrics.retries += 1
            deployment = verdict.deployment

    def _leave_out_refused(self, thoughts: Sequence[SignedThinking]) -> None:
        """Clients go on sending what was refused once: it would cost an attempt each time."""
        owner, refused = self._exchange.owner, self._services.thoughts.refused
        if any(refused(owner, thought) for thought in thoughts):
            self._body = thinking_blocks.without_thinking(self._body, lambda thought: refused(owner, thought))
        self._thoughtless = not thinking_blocks.has_thinking(self._body)

    def _drop_thoughts(self) -> None:
        self._services.thoughts.refuse(self._exchange.owner, thinking_blocks.all_thinking(self._body))
        self._body, self._thoughtless = thinking_blocks.without_thinking(self._body), True

    async def _once(self, deployment: Deployment, encoded: bytes, token: str) -> anthropic.Message | None:
        fleet, relay = self._services.fleet, self._relay
        stay = await fleet.enter(deployment, self._exchange.deadline - self._services.clock())
        try:
            call = self._call(deployment, encoded, token, stay)
            seconds = self._route.timeouts.first_token if self._relay is not None else 0
            message = await (_begun_in(seconds, call) if seconds else call)
        except GatewayError as error:
            stay.failed(error)
            raise
        else:
            stay.succeeded()
            return message
        finally:
            if relay is None or not relay.holds(stay):
                stay.leave()

    async def _call(self, deployment: Deployment, encoded: bytes, token: str, stay: Stay) -> anthropic.Message | None:
        services, relay, exchange = self._services, self._relay, self._exchange
        call = services.vertex.call(
            deployment, encoded, token, stream=self._stream, betas=self._betas, timeouts=self._route.timeouts
        )
        reply = await services.upstream.send(call)
        try:
            exchange.upstream_request_id = _header(reply.headers, b"request-id")
            if reply.status != 200:
                fault = decode_fault(reply.status, await reply.read(MAX_ERROR_BODY))
                raise translate_fault(
                    fault, retry_after=_header(reply.headers, b"retry-after"), hide=deployment.project
                )
            whole = not (_header(reply.headers, b"content-type") or "").startswith("text/event-stream")
            message = None
            if relay is None:
                message = _decode(await reply.read(MAX_REPLY_BODY)) if whole else await self._fold(reply)
            elif whole:
                relay.hold(fold.unfold(_decode(await reply.read(MAX_REPLY_BODY))))
            else:
                await relay.open(reply, stay, hide=deployment.project)
            services.metrics.attempts.add(deployment.id, "ok")
            return message
        finally:
            if relay is None or not relay.holds(stay):
                await reply.aclose()

    async def _fold(self, reply: Reply) -> anthropic.Message:
        folded = fold.MessageFold()
        reader = EventReader(Bounded(reply))
        try:
            while not folded.done and (events := await reader.read()) is not None:
                for event in events:
                    folded.feed(event)
            if not reply.arrived:
                await reader.drain()
        finally:
            self._exchange.usage = folded.usage
        return folded.result()

    def _note(self, error: GatewayError, deployment: Deployment) -> None:
        exchange, services = self._exchange, self._services
        kind = error.kind if isinstance(error, UpstreamRefused) else error.code or "error"
        if isinstance(error, UpstreamRefused):
            exchange.upstream_request_id = error.request_id or exchange.upstream_request_id
            services.metrics.quota_errors += error.kind == "rate_limit"
        services.metrics.attempts.add(deployment.id, kind)
        services.log.warning(
            names.EVENT_ATTEMPT_FAILED,
            request_id=exchange.request_id,
            deployment=deployment.id,
            attempt=len(exchange.tried),
            kind=kind,
            message=loggable(error),
            detail=error.detail,
        )


async def _begun_in(seconds: float, call: Coroutine[None, None, anthropic.Message | None]) -> anthropic.Message | None:
    """:raises UpstreamTimeout: the route wants its streams to begin sooner."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        raise UpstreamTimeout(
            f"The upstream did not begin its answer within {seconds:g} s.", clock="first_token"
        ) from None


def _decode(body: bytes) -> anthropic.Message:
    try:
        message = anthropic.decode_message(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken(
            "The upstream's answer is not a Messages reply.", reply_started=True, detail=str(error)[:200]
        ) from None
    if message.type != "message" or (message.content is None and message.stop_reason is None):
        raise UpstreamBroken("The upstream's answer is not a Messages reply.", reply_started=True)
    return message


def _header(headers: Headers, name: bytes) -> str | None:
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None
