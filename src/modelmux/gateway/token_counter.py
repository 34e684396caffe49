"""Asks the upstream for the number of tokens of a request: at most two locations, no retries of failures.

What is repeated, once each: a call whose access token was rejected, and one with fields that the location does not
count.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Final

from modelmux.claude.native import NativeRequest
from modelmux.claude.notices import Notice, reject_notices
from modelmux.errors import GatewayError, OutsideGeography, UpstreamTimeout, without_traceback
from modelmux.gateway.count_state import CountReply, CountState
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.prepare_native import location_notices, location_of
from modelmux.providers.base import MAX_ERROR_BODY, NativePrepared, TokenCounting
from modelmux.routing.model import Deployment, Route
from modelmux.telemetry.records import AttemptRecord
from modelmux.wire.http import find_header

#: Seconds for a count, other locations included: clients wait for it before they send the request itself.
TIMEOUT: Final = 10.0
#: The deployment's own location, and one more.
_MAX_LOCATIONS: Final = 2
#: Calls without fields that a location refused: each error names one of them.
_MAX_REPAIRS: Final = 3
#: A reply is a few bytes.
_MAX_REPLY: Final = 64 * 1024


class TokenCounter:
    """The count of one exchange.

    :param request: with its files embedded.
    """

    def __init__(self, exchange: Exchange, request: NativeRequest, route: Route, counting: TokenCounting) -> None:
        self._exchange = exchange
        self._services = exchange.services
        self._state: CountState = exchange.services.counts
        self._request = request
        self._route = route
        self._counting = counting
        self._deadline = math.inf  # of the event loop's clock; the wait for its turn counts
        self._deployment = counting_deployment(route)

    async def count(self) -> CountReply:
        """The upstream's count; that of an identical request in flight or of a moment ago.

        :raises GatewayError:
        """
        prepared = await self._prepare(self._deployment)
        self._reject_in_strict_mode(prepared.notices)
        key = await self._exchange.run(self._key, prepared.body)
        reply = await self._state.replies.get(key, self._ask)
        self._reject_in_strict_mode(reply.notices)
        return reply

    def _key(self, body: bytes) -> bytes:
        """What identical requests have in common."""
        key = hashlib.sha256()
        for part in (self._exchange.inbound.caller.owner, self._route.name, self._deployment.url):
            key.update(part.encode() + b"\0")
        key.update(body)
        return key.digest()

    async def _prepare(self, deployment: Deployment) -> NativePrepared:
        refused = self._state.refusals.of(location_of(deployment))
        prepare = functools.partial(self._counting.prepare, self._request, deployment, self._route, refused=refused)
        return await self._exchange.run(prepare)

    def _reject_in_strict_mode(self, notices: Sequence[Notice]) -> None:
        if self._services.strict or self._exchange.inbound.strict:
            reject_notices([*location_notices(self._request, self._route), *notices])

    async def _ask(self) -> CountReply:
        """One count, which identical requests share."""
        limiter = self._state.limiter
        self._deadline = asyncio.get_running_loop().time() + TIMEOUT
        since = await limiter.acquire(key=self._exchange.inbound.caller.owner)
        try:
            return await self._ask_locations()
        finally:
            limiter.release(since=since)

    async def _ask_locations(self) -> CountReply:
        *others, last = self._counting.deployments(self._deployment, self._route)[:_MAX_LOCATIONS]
        for deployment in others:
            try:
                return await self._ask_location(deployment)
            except GatewayError as error:
                if not self._counting.is_unavailable(error):
                    raise
                without_traceback(error)
        return await self._ask_location(last)

    async def _ask_location(self, deployment: Deployment) -> CountReply:
        token = await self._services.tokens.token()
        token_renewed, repairs = False, 0
        while True:
            prepared = await self._prepare(deployment)
            try:
                return await self._attempt(deployment, prepared, token)
            except GatewayError as error:
                if error.kind.name == "unauthenticated" and not token_renewed:
                    token, token_renewed = await self._services.tokens.renew(token), True
                elif repairs < _MAX_REPAIRS and await self._exchange.run(self._learns_from, error, deployment):
                    repairs += 1
                else:
                    raise
                without_traceback(error)

    def _learns_from(self, error: GatewayError, deployment: Deployment) -> bool:
        """Whether the error names fields of the request that can be left out, and were not yet."""
        location, refusals = location_of(deployment), self._state.refusals
        fields = self._counting.refused_fields(error, self._request) - refusals.of(location)
        refusals.add(location, fields)
        return bool(fields)

    async def _attempt(self, deployment: Deployment, prepared: NativePrepared, token: str) -> CountReply:
        """One call, recorded whatever its outcome."""
        exchange, services = self._exchange, self._services
        clock, number = services.runtime.clock, len(exchange.attempts) + 1
        record = AttemptRecord(number, number > 1, deployment.id, deployment.card, clock())
        exchange.attempts.append(record)
        try:
            body = await self._send_in_time(deployment, prepared, token, record)
        except GatewayError as error:
            record.error, record.ended_at = error, clock()
            self._notify(record)
            raise
        finally:
            record.ended_at = clock()
        self._notify(record)
        return CountReply(body, prepared.notices)

    def _notify(self, record: AttemptRecord) -> None:
        for observer in self._services.observers:
            observer.attempted(self._exchange.inbound.request_id, record)

    async def _send_in_time(
        self, deployment: Deployment, prepared: NativePrepared, token: str, record: AttemptRecord
    ) -> bytes:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._send(deployment, prepared, token, record)
        except TimeoutError:
            raise UpstreamTimeout(f"Tokens were not counted within {TIMEOUT:g} s.", clock="total") from None

    async def _send(self, deployment: Deployment, prepared: NativePrepared, token: str, record: AttemptRecord) -> bytes:
        if not self._route.allows_deployment(deployment):
            raise OutsideGeography(
                f"A call for '{self._route.name}' would leave its geography.",
                detail=f"token counting, deployment {deployment.id}",
            )
        call = self._counting.call(deployment, prepared.body, token, route=self._route)
        reply = await self._services.upstream.send(call)
        try:
            body = await reply.read(_MAX_REPLY if reply.status == 200 else MAX_ERROR_BODY)
        finally:
            await reply.aclose()
        record.reply_headers = reply.headers
        record.upstream_request_id = find_header(reply.headers, b"request-id")
        if reply.status != 200:
            now = self._services.runtime.now()
            raise self._services.provider.error(reply.status, reply.headers, body, deployment, now)
        self._counting.check(body)
        return body


def counting_deployment(route: Route) -> Deployment:
    """Where tokens are counted: as for inference, without regard to load, because counting has a quota of its own."""
    return min(route.of_model(route.card.id).deployments, key=lambda deployment: deployment.order)
