"""A budget for the bytes of request bodies in memory: of those that arrive, and of requests that run or wait.

A body that does not fit is rejected before it is read. Bytes count when they have arrived, not when they are announced:
otherwise a client could use up the budget without sending anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from modelmux.config.schema import Config
from modelmux.errors import GatewayOverloaded

#: The budget is not larger than this unless the operator sets it.
DEFAULT_BYTES: Final = 512 * 1024 * 1024
#: A burst is over when this many bytes less are in use than at its peak: one large request is a burst.
BURST: Final = 4 * 1024 * 1024


def body_memory(config: Config, workers: int) -> int:
    """Bytes for this process: its share of what all ``workers`` may have."""
    limits = config.limits
    requests = limits.max_concurrent_requests + limits.max_queued_requests
    default = min(DEFAULT_BYTES, requests * config.server.max_body_bytes)
    return math.ceil((default if limits.body_memory is None else limits.body_memory) / workers)


class BodyMemory:
    """See the module.

    :param limit: bytes. A body that is alone fits, whatever its size.
    :param on_reject: called for every request that is rejected.
    :ivar used: bytes.
    :ivar on_burst_over: called when much less is used than before; the process gives free memory back then.
    """

    def __init__(self, limit: float = math.inf, on_reject: Callable[[], None] | None = None) -> None:
        self.limit = limit
        self.used = 0
        self.on_burst_over: Callable[[], None] | None = None
        self._peak = 0
        self._on_reject = on_reject

    def check(self, size: int, own: int = 0) -> None:
        """
        :param size: bytes that are to be read.
        :param own: bytes of the same body that are counted already.
        :raises GatewayOverloaded: they do not fit now.
        """
        if self.used > own and self.used + size > self.limit:
            if self._on_reject is not None:
                self._on_reject()
            raise GatewayOverloaded.by_load("The gateway has no memory left for this request.")

    def reserve(self, size: int) -> None:
        """Count bytes that have arrived."""
        self.used = used = self.used + size
        if used > self._peak:
            self._peak = used

    def release(self, size: int) -> None:
        """Count bytes that were let go."""
        self.used = used = self.used - size
        if self._peak - used >= BURST:
            self._peak = used
            if self.on_burst_over is not None:
                self.on_burst_over()
