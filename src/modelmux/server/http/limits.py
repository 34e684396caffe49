"""Limits for client connections, and the phases of a shutdown. Data only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits in bytes and seconds. API clients send small heads, and at once.

    :param discard: bytes of a body that are read and discarded after the response, so that the client gets to read it.
    :param keep_alive: longer than the usual 60 s idle timeout of load balancers: they should close idle connections
        first, or they would send requests on closed ones.
    :param pipelined: requests that may wait for their turn.
    """

    head_bytes: int = 64 * 1024
    headers: int = 256
    head_seconds: float = 15.0
    body_idle_seconds: float = 30.0
    body_seconds: float = 300.0
    keep_alive: float = 75.0
    discard: int = 128 * 1024 * 1024
    linger_seconds: float = 1.0
    pipelined: int = 64


@dataclass(slots=True)
class ShutdownPhase:
    """Progress of a server's shutdown: one object for all its connections, the attribute ``phase`` of their state.

    :param closing_connections: every response closes its connection, and says so in its ``connection`` header.
    :param rejecting: new requests other than GET and HEAD get 503.
    """

    closing_connections: bool = False
    rejecting: bool = False
