"""Risk: a metric has another name, unit or number by OTLP than the conventions and ``/metrics`` say."""

from __future__ import annotations

import pytest

from modelmux.telemetry import names
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.otlp_metrics.series import Series, own_name, series_of

MODEL = (("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "gcp.vertex_ai"))
FAST = (*MODEL, ("gen_ai.request.model", "fast"))


def series(metrics: Metrics) -> dict[str, Series]:
    return {one.name: one for one in series_of(metrics.values(), metrics.bounds)}


def test_the_names_are_these() -> None:
    """A frozen copy: dashboards depend on them."""
    assert [own_name(name) for name in names.METRICS] == [
        ("modelmux.requests", "1"), ("modelmux.request_duration", "s"), ("modelmux.time_to_first_token", "s"),
        ("modelmux.time_per_output_token", "s"), ("modelmux.overhead", "s"), ("modelmux.tokens", "1"),
        ("modelmux.cache_write_unread", "1"),
        ("modelmux.requests_in_flight", "1"), ("modelmux.upstream_attempts", "1"),
        ("modelmux.deployment_circuit_open", "1"), ("modelmux.deployment_in_flight", "1"),
        ("modelmux.error_responses", "1"), ("modelmux.requests_queued", "1"), ("modelmux.requests_shed", "1"),
        ("modelmux.queue_wait", "s"), ("modelmux.refusals", "1"), ("modelmux.cost.usd", "USD"),
        ("modelmux.tokens_by_team", "1"), ("modelmux.requests_by_tag", "1"), ("modelmux.tokens_by_tag", "1"),
        ("modelmux.cost_by_tag.usd", "USD"), ("modelmux.price_missing", "1"), ("modelmux.price_age", "d"),
        ("modelmux.budget_limit.usd", "USD"), ("modelmux.budget_spent.usd", "USD"), ("modelmux.budget_held.usd", "USD"),
        ("modelmux.budget_resets_at", "s"), ("modelmux.budget_underrun.usd", "USD"),
        ("modelmux.budget_beyond_leases.usd", "USD"), ("modelmux.in_doubt.usd", "USD"),
        ("modelmux.store_up", "1"), ("modelmux.limits_shared", "1"), ("modelmux.ledger_rows", "1"),
        ("modelmux.ledger_unpriced_requests", "1"),
        ("modelmux.ledger_rows_waiting", "1"), ("modelmux.ledger_lag", "s"), ("modelmux.ledger_rows_lost", "1"),
        ("modelmux.ledger_errors", "1"), ("modelmux.exchange", "s"), ("modelmux.lease_short", "1"),
        ("modelmux.recall", "s"), ("modelmux.journal_slots_used", "1"),
        ("modelmux.response_store_failures", "1"), ("modelmux.log_lines_dropped", "1"),
        ("modelmux.telemetry_dropped", "1"), ("modelmux.traces_dropped", "1"), ("modelmux.loop_lag", "s"),
        ("modelmux.build_info", "1"),
        ("modelmux.workers", "1"), ("modelmux.worker_restarts", "1"), ("modelmux.dropped_label_sets", "1"),
        ("modelmux.config_generation", "1"),
    ]  # fmt: skip


def test_tokens_of_the_cache_are_input_too() -> None:
    metrics = Metrics()
    for type, count in (("input", 1), ("cache_read", 20), ("cache_write", 300), ("output", 4000)):
        metrics.tokens.add_many(count, "fast", type)
    metrics.tokens.add_many(7, "unknown", "input")
    shown = series(metrics)
    usage = {name: one.numbers for name, one in shown.items() if name.startswith("gen_ai.client.inference.usage")}
    assert usage == {
        "gen_ai.client.inference.usage.input_tokens": {FAST: 321, (*MODEL, ("gen_ai.request.model", "_OTHER")): 7},
        "gen_ai.client.inference.usage.cache_read.input_tokens": {FAST: 20},
        "gen_ai.client.inference.usage.cache_write.input_tokens": {FAST: 300},
        "gen_ai.client.inference.usage.output_tokens": {FAST: 4000},
    }
    assert "modelmux.tokens" not in shown  # they would be there twice


def test_durations_have_the_names_of_the_conventions() -> None:
    metrics = Metrics()
    metrics.duration.observe("fast", 0.2)
    metrics.time_to_first_token.observe("fast", 0.1)
    metrics.overhead.observe("fast", 0.002)
    shown = series(metrics)
    duration = shown["gen_ai.client.inference.duration"]
    assert duration.histograms[FAST][1] == [0.2]
    assert len(duration.histograms[FAST][0]) == len(duration.bounds) + 1
    assert shown["gen_ai.client.inference.time_to_first_chunk"].unit == "s"
    assert shown["modelmux.overhead"].histograms.keys() == {(("modelmux.route", "fast"),)}


def test_everything_else_has_the_labels_of_prometheus() -> None:
    metrics = Metrics()
    metrics.requests.add("fast", "ok")
    metrics.in_flight = 3
    shown = series(metrics)
    assert shown["modelmux.requests"].numbers == {(("modelmux.route", "fast"), ("modelmux.outcome", "ok")): 1}
    assert (shown["modelmux.requests_in_flight"].kind, shown["modelmux.requests_in_flight"].numbers) == (
        "gauge",
        {(): 3},
    )


@pytest.mark.parametrize("name", ["modelmux.cost.usd", "modelmux.refusals"])
def test_what_has_no_number_is_not_sent(name: str) -> None:
    assert name not in series(Metrics())
