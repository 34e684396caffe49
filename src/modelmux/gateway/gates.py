"""Admission: the steps a request passes before its first attempt, as a tuple in order.

Each is left in reverse order, exactly once, however the request ends. If one rejects the request, those before it are
left.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

from modelmux.dialects.base import Decoded, Inbound
from modelmux.gateway.concurrency import ConcurrencyLimiter
from modelmux.routing.model import Route


class Gate(Protocol):
    """One admission step: a concurrency limit; later keys, rate limits, budgets."""

    async def enter(self, inbound: Inbound, decoded: Decoded, route: Route) -> object:
        """
        :returns: what ``leave`` needs.
        :raises GatewayError: the request is not admitted.
        """
        ...

    async def leave(self, inbound: Inbound, entered: Any) -> None: ...


class ConcurrencyGate:
    """A limit of concurrent requests. Keys take turns; no model may take every slot."""

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self._limiter = limiter

    async def enter(self, inbound: Inbound, decoded: Decoded, route: Route) -> tuple[str, float]:
        """:returns: the model, and since when the request has its slot."""
        del decoded
        model = route.card.id
        since = self._limiter.enter(model)
        if since is None:
            deadline = inbound.received_at + min(route.timeouts.total, inbound.timeout)
            since = await self._limiter.wait(deadline, key=inbound.caller.owner, model=model)
        return model, since

    async def leave(self, inbound: Inbound, entered: tuple[str, float]) -> None:
        del inbound
        model, since = entered
        self._limiter.release(model, since)


class Gates:
    """All gates in order. ``async with gates(inbound, decoded, route)`` holds a request's admission."""

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._gates = tuple(gates)

    def __call__(self, inbound: Inbound, decoded: Decoded, route: Route) -> _Admission:
        return _Admission(self._gates, inbound, decoded, route)


class _Admission:
    __slots__ = ("_decoded", "_entered", "_gates", "_inbound", "_route")

    def __init__(self, gates: tuple[Gate, ...], inbound: Inbound, decoded: Decoded, route: Route) -> None:
        self._gates = gates
        self._inbound = inbound
        self._decoded = decoded
        self._route = route
        self._entered: list[object] = []

    async def __aenter__(self) -> None:
        try:
            for gate in self._gates:
                self._entered.append(await gate.enter(self._inbound, self._decoded, self._route))
        except BaseException:
            await self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        while self._entered:
            entered = self._entered.pop()
            try:
                await self._gates[len(self._entered)].leave(self._inbound, entered)
            finally:  # leave the others even if this one raises
                if self._entered:
                    await self._leave()
