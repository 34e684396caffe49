"""Risk: a default that is larger than the machine, or a worker that takes the share of all."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux import Config
from modelmux.server.body_memory import DEFAULT_BYTES, body_memory


@pytest.mark.parametrize(
    ("limits", "server", "workers", "size"),
    [
        ({}, {}, 1, DEFAULT_BYTES),
        ({}, {}, 4, DEFAULT_BYTES // 4),
        ({"max_concurrent_requests": 2, "max_queued_requests": 1}, {"max_body_bytes": 1000}, 1, 3000),
        ({"max_concurrent_requests": 2, "max_queued_requests": 1}, {"max_body_bytes": 1000}, 2, 1500),
        ({"body_memory": "2GiB"}, {}, 1, 2 * 2**30),
        ({"body_memory": 1000}, {}, 3, 334),
    ],
)
def test_the_budget_of_a_process(limits: dict[str, Any], server: dict[str, Any], workers: int, size: int) -> None:
    assert body_memory(Config.from_dict({"limits": limits, "server": server}), workers) == size
