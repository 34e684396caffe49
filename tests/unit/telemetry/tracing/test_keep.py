"""Risk: the trace that explains a failure is not there, or all are kept and a ratio means nothing."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.config.telemetry_check import KeepRules
from modelmux.telemetry.records import ExchangeRecord
from modelmux.telemetry.tracing.keep import keeps

ALL = KeepRules(errors=True, slower=30.0, dearer=1.0)


def record(outcome: Any = "ok", seconds: float = 1.0, *, called: bool = True) -> ExchangeRecord:
    attempts: list[Any] = [object()] if called else []
    return ExchangeRecord(
        "req_1", "openai_chat", "generate", "fast", attempts, False, outcome, 200, None, None, seconds, None, 1, 1, []
    )


@pytest.mark.parametrize(
    ("rules", "request_", "cost", "kept"),
    [
        (ALL, record(), "0.5", False),
        (ALL, record("upstream_error"), "0", True),
        (ALL, record("gateway_error"), None, True),
        (ALL, record("client_error"), None, False),  # a flood of wrong keys is not worth a trace each
        (ALL, record("client_gone"), "0", False),
        (KeepRules(slower=30.0), record("upstream_error"), "5", False),
        (ALL, record(seconds=30.0), "0", False),
        (ALL, record(seconds=30.01), "0", True),
        (ALL, record(), "1", False),
        (ALL, record(), "1.000000001", True),
        (ALL, record(), None, False),  # a price that is not known
        (KeepRules(dearer=0.1), record(), "0.1", False),  # as a decimal, not as a binary fraction
    ],
)
def test_what_is_kept(rules: KeepRules, request_: ExchangeRecord, cost: str | None, kept: bool) -> None:
    assert keeps(rules, request_, lambda: cost) is kept


def test_costs_are_computed_only_where_a_rule_wants_them() -> None:
    def fail() -> str | None:
        raise AssertionError("computed")

    assert not keeps(KeepRules(errors=True, slower=30.0), record(), fail)
    assert keeps(ALL, record("upstream_error"), fail)
    assert not keeps(ALL, record(called=False), fail), "it called no model"
