"""Admission: the steps a request passes before its first attempt, as a tuple in order.

Each is left in reverse order, exactly once, however the request ends. If one rejects the request, those before it are
left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Protocol

from modelmux.claude.native import NativeRequest, let_go, read_again
from modelmux.dialects.base import Decoded, Inbound
from modelmux.gateway.concurrency import ConcurrencyLimiter
from modelmux.gateway.large_requests import LargeRequests
from modelmux.routing.model import Route

#: Bytes of a native request from which on it holds nothing but them while it waits. Below, decoding it again costs more
#: than its memory.
LET_GO: Final = 128 * 1024


class Gate(Protocol):
    """One admission step: the limits of a key, the concurrency limit."""

    async def enter(self, inbound: Inbound, decoded: Decoded, route: Route) -> object:
        """
        :returns: what ``leave`` needs.
        :raises GatewayError: the request is not admitted.
        """
        ...

    async def leave(self, inbound: Inbound, entered: Any) -> None: ...


class ConcurrencyGate:
    """A limit of concurrent requests. Keys take turns; no model may take every slot.

    :param large: for requests that take long.
    """

    def __init__(self, limiter: ConcurrencyLimiter, large: LargeRequests) -> None:
        self._limiter = limiter
        self._large = large

    async def enter(self, inbound: Inbound, decoded: Decoded, route: Route) -> tuple[str, float]:
        """:returns: the model, and since when the request has its slot."""
        model = route.card.id
        since = self._limiter.enter(model)
        if since is None:
            native = decoded.native
            if native is None or len(native.body) < LET_GO:
                since = await self._wait(inbound, route)
            else:
                since = await self._wait_undecoded(inbound, native, route, is_costly=decoded.is_costly)
        return model, since

    async def _wait(self, inbound: Inbound, route: Route) -> float:
        deadline = inbound.received_at + min(route.timeouts.total, inbound.timeout)
        return await self._limiter.wait(deadline, key=inbound.caller.owner, model=route.card.id)

    async def _wait_undecoded(self, inbound: Inbound, native: NativeRequest, route: Route, *, is_costly: bool) -> float:
        """Wait without what was decoded of the request."""
        model = route.card.id
        await apply(self._large, let_go, native, is_costly=is_costly)
        since = self._limiter.enter(model)  # a slot may have become free meanwhile
        if since is None:
            since = await self._wait(inbound, route)
        try:
            await apply(self._large, read_again, native, is_costly=is_costly)
        except BaseException:
            self._limiter.release(model)
            raise
        return since

    async def leave(self, inbound: Inbound, entered: tuple[str, float]) -> None:
        del inbound
        model, since = entered
        self._limiter.release(model, since)


async def apply(
    large: LargeRequests, function: Callable[[NativeRequest], None], native: NativeRequest, *, is_costly: bool
) -> None:
    """``let_go`` or ``read_again``; in the thread if the request is costly."""
    if is_costly:
        await large.run(function, native)
    else:
        function(native)


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

    async def __aenter__(self) -> Sequence[object]:
        """:returns: what each gate has returned."""
        try:
            for gate in self._gates:
                self._entered.append(await gate.enter(self._inbound, self._decoded, self._route))
        except BaseException:
            await self._leave()
            raise
        return tuple(self._entered)

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
