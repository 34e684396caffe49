"""How long each stage of a request may take. Data only: who keeps the clocks is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds allowed for each stage; every one but ``first_token`` is always bounded."""

    connect: float = 5.0  # DNS, TCP, proxy CONNECT and TLS together
    pool: float = 5.0  # waiting for a free connection
    send: float = 60.0  # handing the request to the kernel
    first_byte: float = 600.0  # from the request sent to the reply's status line
    first_token: float = 0.0  # from the beginning of an attempt to a stream's first content; 0 for no such clock
    idle: float = 300.0  # between two reads of the reply's body; pings count
    total: float = 3600.0  # from the request's arrival to the end of its answer


DEFAULT_TIMEOUTS: Final = Timeouts()
