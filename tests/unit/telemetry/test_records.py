"""Risk: the gateway's own time has in it what others took."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from modelmux.telemetry.records import Admission, AttemptRecord, ExchangeRecord

CARD = builtin().cards[0]
ADMITTED = Admission(waited=0.5, queued_at=100.2, admitted_at=100.6)


def record(*attempts: AttemptRecord, admission: Admission = ADMITTED, duration: float = 10.0) -> ExchangeRecord:
    return ExchangeRecord(
        "req_1", "openai_chat", "generate", "m", attempts, False, "ok", 200, None, None, duration, None, 1, 1, [],
        admission=admission,
    )  # fmt: skip


def attempt(began: float, ended: float | None) -> AttemptRecord:
    return AttemptRecord(1, False, "m@eu", CARD, began, ended)


def test_the_gateways_own_time_is_before_the_first_attempt_and_after_the_last_without_what_it_waited() -> None:
    assert record(attempt(100.7, 109.0)).overhead == pytest.approx(10.0 - 8.3 - 0.5)
    assert record(attempt(100.7, 102.0), attempt(103.0, 109.0)).overhead == pytest.approx(10.0 - 8.3 - 0.5)
    assert record(attempt(100.0, 110.0)).overhead == 0.0  # clocks are read one after the other


def test_it_is_not_known_without_an_attempt_that_ended_and_without_admission() -> None:
    assert record().overhead is None
    assert record(attempt(100.7, None)).overhead is None
    assert record(attempt(100.7, 109.0), admission=Admission()).overhead is None
