"""What a client gets, in bytes and seconds, and how far a server is on its way out. Data only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds a client gets. A head larger than this is no API client's; an honest one sends it at once.

    :param discard: bytes of a body that are read and thrown away after the answer, so that the client sees it.
    :param keep_alive: longer than the 60 s after which usual load balancers give an idle connection up: they should be
        the ones to close it, or they meet a closed one.
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
class Phase:
    """How far a server is on its way out; one object for all its connections, the attribute ``phase`` of the state.

    :param leaving: each answer is the last one of its connection, and says so.
    :param refusing: what is asked now gets 503; looking (GET) is still allowed.
    """

    leaving: bool = False
    refusing: bool = False
