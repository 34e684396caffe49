"""Every name of a log event, log field and metric, pinned by a test: dashboards and alerts depend on them."""

from __future__ import annotations

from typing import Final

# Log events
EVENT_REQUEST: Final = "request"  # one line a request, when it is over
EVENT_ATTEMPT_FAILED: Final = "attempt_failed"
EVENT_DEPLOYMENT: Final = "deployment"  # its breaker opened or closed, or its quota seems to be zero
EVENT_INTERNAL_ERROR: Final = "internal_error"
EVENT_CREDENTIALS: Final = "credentials"
EVENT_UNKNOWN_UPSTREAM: Final = "unknown_upstream"
EVENT_SERVING: Final = "serving"
EVENT_CONFIG: Final = "config"
EVENT_LOG_FILES: Final = "log_files"
EVENT_WORKER: Final = "worker"

# Metrics
METRIC_REQUESTS: Final = "modelmux_requests_total"
METRIC_ATTEMPTS: Final = "modelmux_upstream_attempts_total"
METRIC_ERRORS: Final = "modelmux_error_responses_total"
METRIC_IN_FLIGHT: Final = "modelmux_requests_in_flight"
METRIC_TOKENS: Final = "modelmux_tokens_total"
METRIC_DURATION: Final = "modelmux_request_duration_seconds"
METRIC_FIRST_CONTENT: Final = "modelmux_first_content_seconds"
METRIC_BREAKER_OPEN: Final = "modelmux_deployment_breaker_open"
METRIC_DEPLOYMENT_IN_FLIGHT: Final = "modelmux_deployment_in_flight"
METRIC_WAITING: Final = "modelmux_requests_waiting"
METRIC_WORKERS: Final = "modelmux_workers"
METRIC_WORKER_RESTARTS: Final = "modelmux_worker_restarts_total"
METRIC_DROPPED_LABEL_SETS: Final = "modelmux_dropped_label_sets"
METRIC_CONFIG_GENERATION: Final = "modelmux_config_generation"

# Values of the label ``outcome``
OUTCOME_OK: Final = "ok"
OUTCOME_CLIENT_ERROR: Final = "client_error"
OUTCOME_UPSTREAM_ERROR: Final = "upstream_error"
OUTCOME_GATEWAY_ERROR: Final = "gateway_error"
OUTCOME_CLIENT_GONE: Final = "client_gone"
