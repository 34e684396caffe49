"""Names of log events, metrics and outcomes: dashboards and alerts depend on them, so a change has to be meant."""

from __future__ import annotations

import io
import json

from modelmux.telemetry import names
from modelmux.telemetry.log import make_log, where
from modelmux.telemetry.metrics import Metrics


def test_the_names_are_these() -> None:
    assert {k: v for k, v in vars(names).items() if k.isupper()} == {
        "EVENT_REQUEST": "request",
        "EVENT_ATTEMPT_FAILED": "attempt_failed",
        "EVENT_DEPLOYMENT": "deployment",
        "EVENT_INTERNAL_ERROR": "internal_error",
        "EVENT_CREDENTIALS": "credentials",
        "EVENT_UNKNOWN_UPSTREAM": "unknown_upstream",
        "EVENT_SERVING": "serving",
        "EVENT_CONFIG": "config",
        "EVENT_LOG_FILES": "log_files",
        "EVENT_WORKER": "worker",
        "METRIC_REQUESTS": "modelmux_requests_total",
        "METRIC_ATTEMPTS": "modelmux_upstream_attempts_total",
        "METRIC_ERRORS": "modelmux_error_responses_total",
        "METRIC_IN_FLIGHT": "modelmux_requests_in_flight",
        "METRIC_TOKENS": "modelmux_tokens_total",
        "METRIC_DURATION": "modelmux_request_duration_seconds",
        "METRIC_FIRST_CONTENT": "modelmux_first_content_seconds",
        "METRIC_BREAKER_OPEN": "modelmux_deployment_breaker_open",
        "METRIC_DEPLOYMENT_IN_FLIGHT": "modelmux_deployment_in_flight",
        "METRIC_WAITING": "modelmux_requests_waiting",
        "METRIC_WORKERS": "modelmux_workers",
        "METRIC_WORKER_RESTARTS": "modelmux_worker_restarts_total",
        "METRIC_DROPPED_LABEL_SETS": "modelmux_dropped_label_sets",
        "METRIC_CONFIG_GENERATION": "modelmux_config_generation",
        "OUTCOME_OK": "ok",
        "OUTCOME_CLIENT_ERROR": "client_error",
        "OUTCOME_UPSTREAM_ERROR": "upstream_error",
        "OUTCOME_GATEWAY_ERROR": "gateway_error",
        "OUTCOME_CLIENT_GONE": "client_gone",
    }


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
        said = where(error)
    assert said.startswith("ValueError at test_names.py:")
    assert "prompt" not in said
