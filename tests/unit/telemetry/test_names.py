"""Names of log events, metrics and outcomes: dashboards and alerts depend on them, so a change has to be meant."""

from __future__ import annotations

import ast
import io
import json
import re
from pathlib import Path

import modelmux
from modelmux.errors import BudgetSpent
from modelmux.telemetry import names
from modelmux.telemetry.client_tags import TAGS
from modelmux.telemetry.ledger_counts import BudgetNumbers, LedgerCounts
from modelmux.telemetry.log import error_location, make_log
from modelmux.telemetry.metrics import Metrics

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_names_are_these() -> None:
    assert {k: v for k, v in vars(names).items() if k.isupper() and isinstance(v, str)} == {
        "EVENT_REQUEST": "request",
        "EVENT_REFUSED": "request_refused",
        "EVENT_SIGN_IN": "sign_in",
        "EVENT_ATTEMPT_FAILED": "attempt_failed",
        "EVENT_DEPLOYMENT": "deployment",
        "EVENT_INTERNAL_ERROR": "internal_error",
        "EVENT_CREDENTIALS": "credentials",
        "EVENT_UNKNOWN_UPSTREAM_TYPE": "unknown_upstream_type",
        "EVENT_NOT_READY": "not_ready",
        "EVENT_START": "start",
        "EVENT_LISTENING": "listening",
        "EVENT_STOPPING": "stopping",
        "EVENT_STOPPED": "stopped",
        "EVENT_CONFIG": "config",
        "EVENT_LOG_FILES": "log_files",
        "EVENT_LOG_DROPPED": "log_dropped",
        "EVENT_WORKER": "worker",
        "EVENT_RESPONSE_STORE": "response_store",
        "EVENT_THINKING": "thinking",
        "EVENT_ACCOUNTS": "accounts",
        "EVENT_LIMITS": "limits",
        "EVENT_LEDGER": "ledger",
        "EVENT_TRACES": "traces",
        "EVENT_TELEMETRY": "telemetry",
        "EVENT_BUDGET": "budget",
        "EVENT_ALERT": "alert",
        "METRIC_REQUESTS": "modelmux_requests_total",
        "METRIC_ATTEMPTS": "modelmux_upstream_attempts_total",
        "METRIC_ERRORS": "modelmux_error_responses_total",
        "METRIC_TAG_REQUESTS": "modelmux_requests_by_tag_total",
        "METRIC_TAG_TOKENS": "modelmux_tokens_by_tag_total",
        "METRIC_TAG_COST": "modelmux_cost_by_tag_usd_total",
        "NO_TAG": "none",
        "OTHER_TAGS": "_other",
        "METRIC_CACHE_UNREAD": "modelmux_cache_write_unread_total",
        "METRIC_IN_FLIGHT": "modelmux_requests_in_flight",
        "METRIC_TOKENS": "modelmux_tokens_total",
        "METRIC_DURATION": "modelmux_request_duration_seconds",
        "METRIC_TIME_TO_FIRST_TOKEN": "modelmux_time_to_first_token_seconds",
        "METRIC_TIME_PER_OUTPUT_TOKEN": "modelmux_time_per_output_token_seconds",
        "METRIC_OVERHEAD": "modelmux_overhead_seconds",
        "METRIC_DEPLOYMENT_CIRCUIT_OPEN": "modelmux_deployment_circuit_open",
        "METRIC_DEPLOYMENT_IN_FLIGHT": "modelmux_deployment_in_flight",
        "METRIC_QUEUED": "modelmux_requests_queued",
        "METRIC_SHED": "modelmux_requests_shed_total",
        "METRIC_QUEUE_WAIT": "modelmux_queue_wait_seconds",
        "METRIC_REFUSALS": "modelmux_refusals_total",
        "METRIC_COST": "modelmux_cost_usd_total",
        "METRIC_TEAM_TOKENS": "modelmux_tokens_by_team_total",
        "METRIC_PRICE_MISSING": "modelmux_price_missing_total",
        "METRIC_PRICE_AGE": "modelmux_price_age_days",
        "METRIC_BUDGET_LIMIT": "modelmux_budget_limit_usd",
        "METRIC_BUDGET_SPENT": "modelmux_budget_spent_usd",
        "METRIC_BUDGET_HELD": "modelmux_budget_held_usd",
        "METRIC_BUDGET_RESETS": "modelmux_budget_resets_at_seconds",
        "METRIC_BUDGET_UNDERRUN": "modelmux_budget_underrun_usd_total",
        "METRIC_BUDGET_BEYOND": "modelmux_budget_beyond_leases_usd_total",
        "METRIC_IN_DOUBT": "modelmux_in_doubt_usd_total",
        "METRIC_STORE_UP": "modelmux_store_up",
        "METRIC_LIMITS_SHARED": "modelmux_limits_shared",
        "METRIC_LEDGER_ROWS": "modelmux_ledger_rows_total",
        "METRIC_LEDGER_UNPRICED": "modelmux_ledger_unpriced_requests_total",
        "METRIC_LEDGER_WAITING": "modelmux_ledger_rows_waiting",
        "METRIC_LEDGER_LAG": "modelmux_ledger_lag_seconds",
        "METRIC_LEDGER_LOST": "modelmux_ledger_rows_lost_total",
        "METRIC_LEDGER_ERRORS": "modelmux_ledger_errors_total",
        "METRIC_EXCHANGE": "modelmux_exchange_seconds",
        "METRIC_LEASE_SHORT": "modelmux_lease_short_total",
        "METRIC_RECALL": "modelmux_recall_seconds",
        "METRIC_JOURNAL_SLOTS": "modelmux_journal_slots_used",
        "METRIC_STORE_FAILURES": "modelmux_response_store_failures_total",
        "METRIC_LOG_LINES_DROPPED": "modelmux_log_lines_dropped_total",
        "METRIC_SPANS_DROPPED": "modelmux_telemetry_dropped_total",
        "METRIC_TRACES_DROPPED": "modelmux_traces_dropped_total",
        "METRIC_LOOP_LAG": "modelmux_loop_lag_seconds",
        "METRIC_BUILD": "modelmux_build_info",
        "METRIC_WORKERS": "modelmux_workers",
        "METRIC_WORKER_RESTARTS": "modelmux_worker_restarts_total",
        "METRIC_DROPPED_LABEL_SETS": "modelmux_dropped_label_sets",
        "METRIC_CONFIG_GENERATION": "modelmux_config_generation",
        "OUTCOME_OK": "ok",
        "OUTCOME_CLIENT_ERROR": "client_error",
        "OUTCOME_UPSTREAM_ERROR": "upstream_error",
        "OUTCOME_GATEWAY_ERROR": "gateway_error",
        "OUTCOME_DRAINED": "drained",
        "OUTCOME_CLIENT_DISCONNECTED": "client_gone",
        "OUTPUT_CONSOLE": "console",
        "OUTPUT_FILES": "files",
        "NO_TEAM": "none",
        "OTHER_TEAMS": "_other",
    }
    assert list(names.FIELDS) == [
        "timestamp", "level", "event", "request_id", "operation", "route", "deployment", "requested_model", "model",
        "attempt", "attempts", "stream", "estimate", "outcome", "refused", "status", "code", "method", "path", "client",
        "key", "team", "person", "trace_id", "span_id",
        "kind", "message", "detail", "action", "retry_stopped", "duration_s", "time_to_first_token_s",
        "request_bytes", "response_bytes", "input_tokens", "cache_read_tokens", "cache_write_tokens",
        "cache_write_1h_tokens", "output_tokens", "web_searches", "notices", "upstream_request_id", "user_agent",
        "session_id", "agent_id",
        "parent_agent_id", "types", "url", "apis", "workers", "worker", "pid", "restart_in_s", "traceback", "cause",
        "retry_in_s", "token_left_s", "lifetime_s", "budget", "percent", "lost", "dropped",
    ]  # fmt: skip
    assert {name: (info.kind, info.labels, info.merge, info.only) for name, info in names.METRICS.items()} == {
        "modelmux_requests_total": ("counter", ("route", "outcome"), "sum", None),
        "modelmux_request_duration_seconds": ("histogram", ("route",), "sum", None),
        "modelmux_time_to_first_token_seconds": ("histogram", ("route",), "sum", None),
        "modelmux_time_per_output_token_seconds": ("histogram", ("route",), "sum", None),
        "modelmux_overhead_seconds": ("histogram", ("route",), "sum", None),
        "modelmux_tokens_total": ("counter", ("route", "type"), "sum", None),
        "modelmux_cache_write_unread_total": ("counter", ("route",), "sum", None),
        "modelmux_requests_in_flight": ("gauge", (), "sum", None),
        "modelmux_upstream_attempts_total": ("counter", ("deployment", "result"), "sum", None),
        "modelmux_deployment_circuit_open": ("gauge", ("deployment",), "sum", None),
        "modelmux_deployment_in_flight": ("gauge", ("deployment",), "sum", None),
        "modelmux_error_responses_total": ("counter", ("status", "code"), "sum", None),
        "modelmux_requests_queued": ("gauge", (), "sum", None),
        "modelmux_requests_shed_total": ("counter", ("reason",), "sum", None),
        "modelmux_queue_wait_seconds": ("histogram", ("result",), "sum", None),
        "modelmux_refusals_total": ("counter", ("reason", "team"), "sum", None),
        "modelmux_cost_usd_total": ("counter", ("route", "model", "team"), "sum", "accounts"),
        "modelmux_tokens_by_team_total": ("counter", ("team", "type"), "sum", "accounts"),
        "modelmux_requests_by_tag_total": ("counter", ("tag", "outcome"), "sum", None),
        "modelmux_tokens_by_tag_total": ("counter", ("tag", "type"), "sum", None),
        "modelmux_cost_by_tag_usd_total": ("counter", ("tag",), "sum", "accounts"),
        "modelmux_price_missing_total": ("counter", ("model",), "sum", "accounts"),
        "modelmux_price_age_days": ("gauge", (), "max", None),
        "modelmux_budget_limit_usd": ("gauge", ("budget",), "sum", "accounts"),
        "modelmux_budget_spent_usd": ("gauge", ("budget",), "sum", "accounts"),
        "modelmux_budget_held_usd": ("gauge", ("budget",), "sum", "accounts"),
        "modelmux_budget_resets_at_seconds": ("gauge", ("budget",), "sum", "accounts"),
        "modelmux_budget_underrun_usd_total": ("counter", (), "sum", None),
        "modelmux_budget_beyond_leases_usd_total": ("counter", (), "sum", None),
        "modelmux_in_doubt_usd_total": ("counter", (), "sum", None),
        "modelmux_store_up": ("gauge", (), "min", "accounts"),
        "modelmux_limits_shared": ("gauge", (), "min", None),
        "modelmux_ledger_rows_total": ("counter", (), "sum", None),
        "modelmux_ledger_unpriced_requests_total": ("counter", (), "sum", None),
        "modelmux_ledger_rows_waiting": ("gauge", (), "sum", None),
        "modelmux_ledger_lag_seconds": ("gauge", (), "max", None),
        "modelmux_ledger_rows_lost_total": ("counter", (), "sum", None),
        "modelmux_ledger_errors_total": ("counter", (), "sum", None),
        "modelmux_exchange_seconds": ("histogram", ("store",), "sum", "accounts"),
        "modelmux_lease_short_total": ("counter", ("store",), "sum", "accounts"),
        "modelmux_recall_seconds": ("histogram", ("store",), "sum", "accounts"),
        "modelmux_journal_slots_used": ("gauge", (), "sum", None),
        "modelmux_response_store_failures_total": ("counter", (), "sum", None),
        "modelmux_log_lines_dropped_total": ("counter", ("output",), "sum", None),
        "modelmux_telemetry_dropped_total": ("counter", (), "sum", None),
        "modelmux_traces_dropped_total": ("counter", (), "sum", None),
        "modelmux_loop_lag_seconds": ("gauge", (), "max", None),
        "modelmux_build_info": ("gauge", ("version", "python"), "sum", None),
        "modelmux_workers": ("gauge", (), "sum", "workers"),
        "modelmux_worker_restarts_total": ("counter", (), "sum", "workers"),
        "modelmux_dropped_label_sets": ("gauge", (), "sum", "workers"),
        "modelmux_config_generation": ("gauge", ("worker",), "sum", "workers"),
    }


def logged_fields(source: str) -> set[str]:
    """Names of the fields of every event that a module logs: keywords of calls whose first argument is an event, and
    keys of what the credentials report."""
    fields: set[str] = set()
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args):
        event = call.args[0]
        name = event.attr if isinstance(event, ast.Attribute) else event.id if isinstance(event, ast.Name) else ""
        if not name.startswith("EVENT_"):
            continue
        fields |= {keyword.arg for keyword in call.keywords if keyword.arg is not None}
        for details in (argument for argument in call.args[1:] if isinstance(argument, ast.Dict)):
            fields |= {key.value for key in details.keys if isinstance(key, ast.Constant)}
    return fields


def test_every_field_that_is_logged_is_in_the_table_and_the_other_way_round() -> None:
    sources = Path(modelmux.__file__).parent.rglob("*.py")
    fields = set().union(*(logged_fields(path.read_text("utf-8")) for path in sources))
    fields |= set(TAGS.values())  # passed as one dict
    assert fields | {"timestamp", "level", "event"} == set(names.FIELDS)


def test_the_operations_page_lists_events_and_fields() -> None:
    page = (DOCS / "operations.md").read_text("utf-8")
    for name, meaning in names.FIELDS.items():
        assert f"| `{name}` | {meaning} |" in page
    for event in (value for name, value in vars(names).items() if name.startswith("EVENT_")):
        assert re.search(rf"^\| `{event}` \|", page, re.MULTILINE), event


def test_the_metrics_have_the_labels_of_the_table() -> None:
    metrics = Metrics()

    class Queue:
        queued = 0

    budget = BudgetNumbers("b", 1.0, 0.5, 0.1, 1e9)
    metrics.read_ledger = lambda: LedgerCounts(is_up=True, budgets=(budget,))
    metrics.read_price_age = lambda: 3
    metrics.read_limits_shared = lambda: True
    metrics.register_gauges(lambda: [("m@eu", True, 1, 2)], Queue())
    metrics.requests.add("m", "ok")
    metrics.attempts.add("m@eu", "ok")
    metrics.count_error(BudgetSpent("spent"))
    metrics.tokens.add_many(7, "m", "input")
    metrics.team_tokens.add_many(7, "data", "input")
    metrics.cost.add_many(0.5, "m", "claude", "data")
    metrics.price_missing.add("claude")
    metrics.store_failures.add()
    metrics.count_wait(0.1, "rejected", "queue_timeout")
    metrics.cache_unread.add("m")
    metrics.lease_short.add("sqlite")
    metrics.by_tag.requests.add("chat", "ok")
    metrics.by_tag.tokens.add_many(7, "chat", "input")
    metrics.by_tag.cost.add_many(0.5, "chat")
    for histogram in (
        metrics.duration, metrics.time_to_first_token, metrics.time_per_output_token, metrics.overhead,
        metrics.exchanges, metrics.recalls,
    ):  # fmt: skip
        histogram.observe("m", 1.0)
    shown, kinds = {}, {}
    for family in metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        shown[name] = {tuple(label for label in sample.labels if label != "le") for sample in family.samples}
        kinds[name] = family.type
        assert name.startswith("process_") or family.documentation == names.METRICS[name].meaning
    here = {name: info for name, info in names.METRICS.items() if info.only != "workers"}
    assert {name: labels for name, labels in shown.items() if not name.startswith("process_")} == {
        name: {info.labels} for name, info in here.items()
    }
    assert {name: kind for name, kind in kinds.items() if name in here} == {n: info.kind for n, info in here.items()}


def test_failures_of_the_store_have_a_sample_before_the_first_one() -> None:
    """An increase from nothing to 1 is none for an alert."""
    metrics = Metrics()
    sample = "modelmux_response_store_failures_total"
    assert f"{sample} 0.0" in metrics.expose().decode()
    metrics.store_failures.add()
    assert f"{sample} 1.0" in metrics.expose().decode()


def test_the_ledger_has_samples_before_the_first_row_and_is_read_at_a_scrape() -> None:
    metrics = Metrics()
    samples = ("modelmux_ledger_unpriced_requests_total", "modelmux_ledger_rows_waiting",
               "modelmux_ledger_rows_lost_total", "modelmux_budget_underrun_usd_total", "modelmux_ledger_rows_total",
               "modelmux_ledger_errors_total", "modelmux_in_doubt_usd_total", "modelmux_ledger_lag_seconds",
               "modelmux_journal_slots_used", "modelmux_budget_beyond_leases_usd_total")  # fmt: skip
    for sample in samples:
        assert f"{sample} 0.0" in metrics.expose().decode()
    metrics.read_ledger = lambda: LedgerCounts(1, 2, 3, 4, 5, 6, 7, 8, 9, beyond=10)
    for number, sample in enumerate(samples, 1):
        assert f"{sample} {number}.0" in metrics.expose().decode()


def test_dropped_log_lines_have_samples_before_the_first_one_and_are_read_at_a_scrape() -> None:
    metrics = Metrics()
    shown = metrics.expose().decode()
    assert 'modelmux_log_lines_dropped_total{output="console"} 0.0' in shown
    assert 'modelmux_log_lines_dropped_total{output="files"} 0.0' in shown
    metrics.read_log_drops = lambda: {"console": 3}
    assert 'modelmux_log_lines_dropped_total{output="console"} 3.0' in metrics.expose().decode()


def test_two_gateways_in_one_process_do_not_share_counters() -> None:
    first, second = Metrics(), Metrics()
    first.requests.add("m", "ok")
    assert second.registry.get_sample_value("modelmux_requests_total", {"route": "m", "outcome": "ok"}) is None
    assert first.health()["success_rate"] == 1.0


def test_a_line_is_one_line_and_leaves_out_what_there_is_not() -> None:
    out = io.StringIO()
    log = make_log("info", "json", out)
    log.debug("hidden")
    log.info("request", text="a\nb\x1b[1m", nothing=None)
    (line,) = out.getvalue().splitlines()
    event = json.loads(line)
    assert event["text"] == "a\\nb\\x1b[1m"
    assert "nothing" not in event
    assert event["level"] == "info"


def test_an_exception_is_described_without_its_text() -> None:
    try:
        raise ValueError("a prompt")
    except ValueError as error:
        said = error_location(error)
    assert said.startswith("ValueError at test_names.py:")
    assert "prompt" not in said
