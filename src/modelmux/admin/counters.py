"""``/counters``: what the workers have counted since their start. The only numbers there are without accounts."""

from __future__ import annotations

from typing import Final

from modelmux.admin.operation import Call, Operation, Reply
from modelmux.telemetry.counted import Counted


async def read_counters(call: Call) -> Reply:
    return Reply(call.backend.counted())


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "GET", "/counters", "Read what was counted since the start: requests, errors, times, tokens", "status.read",
        Counted, read_counters, without_accounts=True,
    ),
)  # fmt: skip
