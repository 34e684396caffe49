"""Every name of a log event, log field, metric and label, pinned by a test: dashboards and alerts depend on them."""

from __future__ import annotations

from typing import Final

# Log events
EVENT_REQUEST: Final = "request"  # one line per request, when it ends
EVENT_REFUSED: Final = "request_refused"  # the gateway itself refused a request; a limited number of lines
EVENT_ATTEMPT_FAILED: Final = "attempt_failed"
EVENT_DEPLOYMENT: Final = "deployment"  # its circuit breaker opened or closed, or its quota seems to be zero
EVENT_INTERNAL_ERROR: Final = "internal_error"
EVENT_CREDENTIALS: Final = "credentials"
EVENT_UNKNOWN_UPSTREAM_TYPE: Final = "unknown_upstream_type"
EVENT_NOT_READY: Final = "not_ready"  # it serves, but has no usable credentials
EVENT_START: Final = "start"  # what was read, and what is served
EVENT_LISTENING: Final = "listening"
EVENT_STOPPING: Final = "stopping"
EVENT_STOPPED: Final = "stopped"
EVENT_CONFIG: Final = "config"
EVENT_LOG_FILES: Final = "log_files"
EVENT_LOG_DROPPED: Final = "log_dropped"  # lines that an output did not take in time
EVENT_WORKER: Final = "worker"
EVENT_RESPONSE_STORE: Final = "response_store"  # a response could not be stored
EVENT_ACCOUNTS: Final = "accounts"  # keys cannot be read, or can be again
EVENT_LEDGER: Final = "ledger"  # rows of the ledger wait, are written again, or are lost
EVENT_TRACES: Final = "traces"  # records for `modelmux trace` are not written, or are again
EVENT_BUDGET: Final = "budget"  # a budget has reached a threshold, or the webhook for that fails, or works again

#: Log field -> its meaning. A field without a value is left out of a line.
FIELDS: Final = {
    "timestamp": "UTC, ISO 8601 with microseconds",
    "level": "`debug`, `info`, `warning` or `error`",
    "event": "one of the events above",
    "request_id": "the response header `x-request-id`",
    "operation": "`generate` or `count_tokens`",
    "route": "the served name that was requested; `unknown` if none matched",
    "deployment": "name and location that were called",
    "requested_model": "the model that the client asked for; `-` if it has other characters than names of models have",
    "model": "Vertex AI model id that answered, or was called last",
    "attempt": "number of the attempt, from 1",
    "attempts": "how many attempts the request took",
    "stream": "whether a stream was requested",
    "estimate": "`true` if the gateway estimated a token count",
    "outcome": "`ok`, `client_error`, `upstream_error`, `gateway_error`, `drained` or `client_gone`",
    "refused": "`true` if the gateway itself refused the request: a line `request_refused` tells of it, too",
    "status": "HTTP status of the response; 499 if the client left before its end",
    "code": "error code of the response",
    "method": "HTTP method of a refused request",
    "path": "its path: as in docs/api.md where it is served, else its first 64 characters",
    "client": "the address that it came from; behind a proxy, that of the proxy",
    "key": "id of the virtual key, also of one that is refused; `static_1` and so on for keys of `server.api_keys`",
    "team": "ids of the teams of the key, from the topmost one down, joined by `/`",
    "person": "id of the person whose key it is",
    "trace_id": "the trace that the request belongs to, by its header `traceparent`",
    "kind": "kind of the error, or of the credential",
    "message": "what happened, for people",
    "detail": "the cause behind the message",
    "action": "what the gateway did",
    "retry_stopped": "why there was no further attempt, such as `attempts_exhausted` or `not_retryable`",
    "duration_s": "seconds from the request to its end",
    "time_to_first_token_s": "seconds from the request to the first content",
    "request_bytes": "size of the request body",
    "response_bytes": "size of the response body",
    "input_tokens": "tokens read, without those of the cache",
    "cache_read_tokens": "tokens read from the prompt cache",
    "cache_write_tokens": "tokens written to the prompt cache",
    "output_tokens": "tokens generated",
    "notices": "the response header `x-modelmux-notices`; unknown fields and lone surrogates are counted, not named",
    "upstream_request_id": "request id of Vertex AI",
    "user_agent": "the client's program, as it calls itself",
    "session_id": "session of Claude Code",
    "agent_id": "agent of Claude Code that sent the request",
    "parent_agent_id": "agent that started that one",
    "types": "type names in a reply that this version does not know",
    "url": "where the gateway listens",
    "apis": "the APIs of clients that it serves, by the names of their dialects; `admin` for the admin API",
    "workers": "number of worker processes",
    "worker": "number of a worker process; `admin` for that of the admin API",
    "pid": "process id",
    "restart_in_s": "seconds until the worker is started again",
    "traceback": "type of an exception and the lines it passed, without its message",
    "cause": "why a token could not be fetched",
    "retry_in_s": "seconds until the next attempt to fetch a token",
    "token_left_s": "seconds for which the current token stays valid",
    "lifetime_s": "seconds for which the new token is valid",
    "budget": "id of a budget",
    "percent": "the threshold that it has reached, in percent of its limit",
    "lost": "how many rows of the ledger are lost",
    "dropped": "how many log lines are missing in this place",
}

# Metrics
METRIC_REQUESTS: Final = "modelmux_requests_total"
METRIC_ATTEMPTS: Final = "modelmux_upstream_attempts_total"
METRIC_ERRORS: Final = "modelmux_error_responses_total"
METRIC_IN_FLIGHT: Final = "modelmux_requests_in_flight"
METRIC_TOKENS: Final = "modelmux_tokens_total"
METRIC_DURATION: Final = "modelmux_request_duration_seconds"
METRIC_TIME_TO_FIRST_TOKEN: Final = "modelmux_time_to_first_token_seconds"  # noqa: S105 - not a password
METRIC_DEPLOYMENT_CIRCUIT_OPEN: Final = "modelmux_deployment_circuit_open"
METRIC_DEPLOYMENT_IN_FLIGHT: Final = "modelmux_deployment_in_flight"
METRIC_QUEUED: Final = "modelmux_requests_queued"
METRIC_SHED: Final = "modelmux_requests_shed_total"
METRIC_QUEUE_WAIT: Final = "modelmux_queue_wait_seconds"
METRIC_WORKERS: Final = "modelmux_workers"
METRIC_WORKER_RESTARTS: Final = "modelmux_worker_restarts_total"
METRIC_DROPPED_LABEL_SETS: Final = "modelmux_dropped_label_sets"
METRIC_CONFIG_GENERATION: Final = "modelmux_config_generation"
METRIC_STORE_FAILURES: Final = "modelmux_response_store_failures_total"
METRIC_LOG_LINES_DROPPED: Final = "modelmux_log_lines_dropped_total"
METRIC_SPANS_DROPPED: Final = "modelmux_telemetry_dropped_total"
METRIC_TRACES_DROPPED: Final = "modelmux_traces_dropped_total"
METRIC_LEDGER_UNPRICED: Final = "modelmux_ledger_unpriced_requests_total"
METRIC_LEDGER_WAITING: Final = "modelmux_ledger_rows_waiting"
METRIC_LEDGER_LOST: Final = "modelmux_ledger_rows_lost_total"
METRIC_BUDGET_UNDERRUN: Final = "modelmux_budget_underrun_usd_total"

#: Metric -> its labels, in order.
LABELS: Final[dict[str, tuple[str, ...]]] = {
    METRIC_REQUESTS: ("route", "outcome"),
    METRIC_ATTEMPTS: ("deployment", "result"),
    METRIC_ERRORS: ("status", "code"),
    METRIC_IN_FLIGHT: (),
    METRIC_TOKENS: ("route", "type"),
    METRIC_DURATION: ("route",),
    METRIC_TIME_TO_FIRST_TOKEN: ("route",),
    METRIC_DEPLOYMENT_CIRCUIT_OPEN: ("deployment",),
    METRIC_DEPLOYMENT_IN_FLIGHT: ("deployment",),
    METRIC_QUEUED: (),
    METRIC_SHED: ("reason",),
    METRIC_QUEUE_WAIT: ("result",),
    METRIC_STORE_FAILURES: (),
    METRIC_LOG_LINES_DROPPED: ("output",),
    METRIC_SPANS_DROPPED: (),
    METRIC_TRACES_DROPPED: (),
    METRIC_LEDGER_UNPRICED: (),
    METRIC_LEDGER_WAITING: (),
    METRIC_LEDGER_LOST: (),
    METRIC_BUDGET_UNDERRUN: (),
}

# Values of the label ``outcome``
OUTCOME_OK: Final = "ok"
OUTCOME_CLIENT_ERROR: Final = "client_error"
OUTCOME_UPSTREAM_ERROR: Final = "upstream_error"
OUTCOME_GATEWAY_ERROR: Final = "gateway_error"
OUTCOME_DRAINED: Final = "drained"
OUTCOME_CLIENT_DISCONNECTED: Final = "client_gone"

# Values of the label ``output``
OUTPUT_CONSOLE: Final = "console"
OUTPUT_FILES: Final = "files"
