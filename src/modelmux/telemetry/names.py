"""Every name of a log event, log field, metric and label, pinned by a test: dashboards and alerts depend on them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

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
EVENT_THINKING: Final = "thinking"  # remembered thinking is not shared with other nodes, or is again
EVENT_ACCOUNTS: Final = "accounts"  # keys cannot be read, or can be again
EVENT_SIGN_IN: Final = "sign_in"  # a session of the dashboard began
EVENT_LIMITS: Final = "limits"  # rate limits are not shared with other nodes, or are again
EVENT_LEDGER: Final = "ledger"  # rows of the ledger wait, are written again, or are lost
EVENT_TRACES: Final = "traces"  # records for `modelmux trace` are not written, or are again
EVENT_TELEMETRY: Final = "telemetry"  # a collector does not take traces or metrics
EVENT_BUDGET: Final = "budget"  # a budget has reached a threshold
EVENT_ALERT: Final = "alert"  # a key expires, requests are in doubt or rows wait; a webhook fails, or works again

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
    "status": "HTTP status of the response, or of an error inside a stream; 499 if the client left before its end",
    "code": "error code of the response",
    "method": "HTTP method of a refused request",
    "path": "its path: as in docs/api.md where it is served, else its first 64 characters",
    "client": "the address that it came from; behind a proxy, that of the proxy",
    "key": "id of the virtual key, also of one that is refused; `static_1` and so on for keys of `server.api_keys`",
    "team": "ids of the teams of the key, from the topmost one down, joined by `/`",
    "person": "id of the person whose key it is",
    "trace_id": "the trace that the request belongs to, by its header `traceparent`",
    "span_id": "the span of the request in it, where the gateway [sends one](observability.md#opentelemetry)",
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
    "cache_write_1h_tokens": "those of them that are to stay there for an hour",
    "output_tokens": "tokens generated",
    "web_searches": "web searches that Vertex AI ran for the request",
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
METRIC_CACHE_UNREAD: Final = "modelmux_cache_write_unread_total"
METRIC_IN_FLIGHT: Final = "modelmux_requests_in_flight"
METRIC_TOKENS: Final = "modelmux_tokens_total"
METRIC_DURATION: Final = "modelmux_request_duration_seconds"
METRIC_TIME_TO_FIRST_TOKEN: Final = "modelmux_time_to_first_token_seconds"  # noqa: S105 - not a password
METRIC_TIME_PER_OUTPUT_TOKEN: Final = "modelmux_time_per_output_token_seconds"  # noqa: S105 - not a password
METRIC_OVERHEAD: Final = "modelmux_overhead_seconds"
METRIC_DEPLOYMENT_CIRCUIT_OPEN: Final = "modelmux_deployment_circuit_open"
METRIC_DEPLOYMENT_IN_FLIGHT: Final = "modelmux_deployment_in_flight"
METRIC_QUEUED: Final = "modelmux_requests_queued"
METRIC_SHED: Final = "modelmux_requests_shed_total"
METRIC_QUEUE_WAIT: Final = "modelmux_queue_wait_seconds"
METRIC_REFUSALS: Final = "modelmux_refusals_total"
METRIC_COST: Final = "modelmux_cost_usd_total"
METRIC_TEAM_TOKENS: Final = "modelmux_tokens_by_team_total"
METRIC_TAG_REQUESTS: Final = "modelmux_requests_by_tag_total"
METRIC_TAG_TOKENS: Final = "modelmux_tokens_by_tag_total"
METRIC_TAG_COST: Final = "modelmux_cost_by_tag_usd_total"
METRIC_PRICE_MISSING: Final = "modelmux_price_missing_total"
METRIC_PRICE_AGE: Final = "modelmux_price_age_days"
METRIC_BUDGET_LIMIT: Final = "modelmux_budget_limit_usd"
METRIC_BUDGET_SPENT: Final = "modelmux_budget_spent_usd"
METRIC_BUDGET_HELD: Final = "modelmux_budget_held_usd"
METRIC_BUDGET_RESETS: Final = "modelmux_budget_resets_at_seconds"
METRIC_BUDGET_UNDERRUN: Final = "modelmux_budget_underrun_usd_total"
METRIC_BUDGET_BEYOND: Final = "modelmux_budget_beyond_leases_usd_total"
METRIC_IN_DOUBT: Final = "modelmux_in_doubt_usd_total"
METRIC_STORE_UP: Final = "modelmux_store_up"
METRIC_LIMITS_SHARED: Final = "modelmux_limits_shared"
METRIC_LEDGER_ROWS: Final = "modelmux_ledger_rows_total"
METRIC_LEDGER_UNPRICED: Final = "modelmux_ledger_unpriced_requests_total"
METRIC_LEDGER_WAITING: Final = "modelmux_ledger_rows_waiting"
METRIC_LEDGER_LAG: Final = "modelmux_ledger_lag_seconds"
METRIC_LEDGER_LOST: Final = "modelmux_ledger_rows_lost_total"
METRIC_LEDGER_ERRORS: Final = "modelmux_ledger_errors_total"
METRIC_EXCHANGE: Final = "modelmux_exchange_seconds"
METRIC_LEASE_SHORT: Final = "modelmux_lease_short_total"
METRIC_RECALL: Final = "modelmux_recall_seconds"
METRIC_JOURNAL_SLOTS: Final = "modelmux_journal_slots_used"
METRIC_STORE_FAILURES: Final = "modelmux_response_store_failures_total"
METRIC_LOG_LINES_DROPPED: Final = "modelmux_log_lines_dropped_total"
METRIC_SPANS_DROPPED: Final = "modelmux_telemetry_dropped_total"
METRIC_TRACES_DROPPED: Final = "modelmux_traces_dropped_total"
METRIC_LOOP_LAG: Final = "modelmux_loop_lag_seconds"
METRIC_BUILD: Final = "modelmux_build_info"
METRIC_WORKERS: Final = "modelmux_workers"
METRIC_WORKER_RESTARTS: Final = "modelmux_worker_restarts_total"
METRIC_DROPPED_LABEL_SETS: Final = "modelmux_dropped_label_sets"
METRIC_CONFIG_GENERATION: Final = "modelmux_config_generation"


class MetricInfo(NamedTuple):
    """One metric.

    :param kind: as Prometheus has it. :param labels: in order.
    :param meaning: for people; the exposition has it, too.
    :param merge: what becomes of a gauge of several workers: its sum, or the largest or smallest of them.
    :param only: where it is there, if not always: with several workers, or with accounts.
    """

    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    merge: Literal["sum", "max", "min"] = "sum"
    only: Literal["workers", "accounts"] | None = None


#: Metric -> what it is, in the order of docs/metrics.md.
METRICS: Final[dict[str, MetricInfo]] = {
    METRIC_REQUESTS: MetricInfo("counter", ("route", "outcome"), "requests that ended"),
    METRIC_DURATION: MetricInfo("histogram", ("route",), "from the request to its end"),
    METRIC_TIME_TO_FIRST_TOKEN: MetricInfo("histogram", ("route",), "from the request to the first content"),
    METRIC_TIME_PER_OUTPUT_TOKEN: MetricInfo(
        "histogram", ("route",), "of a stream, from the first content to the end, by the tokens after the first one"
    ),
    METRIC_OVERHEAD: MetricInfo(
        "histogram",
        ("route",),
        "the gateway's own time: before the first attempt, without waiting for the client's body, for admission and "
        "for files, and after the last reply",
    ),
    METRIC_TOKENS: MetricInfo(
        "counter",
        ("route", "type"),
        "tokens of all attempts; type is input, cache_read, cache_write or output",
    ),
    METRIC_CACHE_UNREAD: MetricInfo(
        "counter",
        ("route",),
        "tokens that a caller wrote to the prompt cache, and had not read when it wrote there again: they cost more "
        "than input, for nothing",
    ),
    METRIC_IN_FLIGHT: MetricInfo("gauge", (), "requests in flight"),
    METRIC_ATTEMPTS: MetricInfo(
        "counter", ("deployment", "result"), "calls to Vertex AI; result is ok or the kind of error"
    ),
    METRIC_DEPLOYMENT_CIRCUIT_OPEN: MetricInfo(
        "gauge", ("deployment",), "processes whose circuit breaker is open, or half open"
    ),
    METRIC_DEPLOYMENT_IN_FLIGHT: MetricInfo("gauge", ("deployment",), "attempts in flight"),
    METRIC_ERRORS: MetricInfo("counter", ("status", "code"), "errors sent to clients, those inside streams included"),
    METRIC_QUEUED: MetricInfo("gauge", (), "queued requests"),
    METRIC_SHED: MetricInfo(
        "counter",
        ("reason",),
        "requests rejected because of the load: queue_full, queue_timeout, no_time_left, event_loop_lag or body_memory",
    ),
    METRIC_QUEUE_WAIT: MetricInfo(
        "histogram",
        ("result",),
        "time in the queue, of requests that were queued; result is admitted, rejected or left (the client left)",
    ),
    METRIC_REFUSALS: MetricInfo(
        "counter",
        ("reason", "team"),
        "requests refused because of who asks, or for what: budget, rpm, tpm, itpm, otpm, concurrent, key, model or "
        "store (accounts cannot be read)",
    ),
    METRIC_COST: MetricInfo(
        "counter", ("route", "model", "team"), "what requests cost, by their rows of the ledger", only="accounts"
    ),
    METRIC_TEAM_TOKENS: MetricInfo(
        "counter",
        ("team", "type"),
        "tokens of all attempts by team; type as in modelmux_tokens_total",
        only="accounts",
    ),
    METRIC_TAG_REQUESTS: MetricInfo(
        "counter", ("tag", "outcome"), "requests that ended, by the values of metrics.tag; with that only"
    ),
    METRIC_TAG_TOKENS: MetricInfo(
        "counter", ("tag", "type"), "tokens of all attempts by metrics.tag; type as in modelmux_tokens_total"
    ),
    METRIC_TAG_COST: MetricInfo(
        "counter", ("tag",), "what requests cost, by their rows of the ledger and by metrics.tag", only="accounts"
    ),
    METRIC_PRICE_MISSING: MetricInfo(
        "counter", ("model",), "requests to a model without a price: their cost is not in any sum", only="accounts"
    ),
    METRIC_PRICE_AGE: MetricInfo(
        "gauge", (), "days since the prices of the catalog were compared with Google's", "max"
    ),
    METRIC_BUDGET_LIMIT: MetricInfo(
        "gauge", ("budget",), "limit of a budget with metric = true, with top-ups", only="accounts"
    ),
    METRIC_BUDGET_SPENT: MetricInfo(
        "gauge", ("budget",), "what such a budget has spent in its window", only="accounts"
    ),
    METRIC_BUDGET_HELD: MetricInfo(
        "gauge", ("budget",), "what requests that run, and processes for their next ones, keep of it", only="accounts"
    ),
    METRIC_BUDGET_RESETS: MetricInfo(
        "gauge", ("budget",), "Unix time at which its window ends; nothing for a lifetime", only="accounts"
    ),
    METRIC_BUDGET_UNDERRUN: MetricInfo(
        "counter", (), "what requests cost above what they held of budgets, which may be passed by so much"
    ),
    METRIC_BUDGET_BEYOND: MetricInfo(
        "counter", (), "what requests held of budgets beyond leases, because the store of accounts did not answer"
    ),
    METRIC_IN_DOUBT: MetricInfo(
        "counter", (), "what budgets were charged because a process was killed and its use is not known"
    ),
    METRIC_STORE_UP: MetricInfo(
        "gauge", (), "1 if keys were read and the ledger was written at the last try, else 0", "min", "accounts"
    ),
    METRIC_LIMITS_SHARED: MetricInfo(
        "gauge", (), "with `limits.redis`, 1 while nodes share rate limits, and 0 while each takes its part", "min",
    ),
    METRIC_LEDGER_ROWS: MetricInfo("counter", (), "rows that were written to the ledger"),
    METRIC_LEDGER_UNPRICED: MetricInfo(
        "counter", (), "requests whose price was unknown: their cost is not in any sum"
    ),
    METRIC_LEDGER_WAITING: MetricInfo(
        "gauge", (), "rows of the ledger that are not known to be written; it grows while the file cannot be written"
    ),
    METRIC_LEDGER_LAG: MetricInfo("gauge", (), "for how long the row waits that has waited longest", "max"),
    METRIC_LEDGER_LOST: MetricInfo(
        "counter",
        (),
        "rows of the ledger that were lost: too many waited, or the gateway stopped while they could not be written",
    ),
    METRIC_LEDGER_ERRORS: MetricInfo("counter", (), "attempts to write to the ledger that failed"),
    METRIC_EXCHANGE: MetricInfo(
        "histogram", ("store",), "transactions that write rows and exchange what processes keep of budgets",
        only="accounts",
    ),
    METRIC_LEASE_SHORT: MetricInfo(
        "counter",
        ("store",),
        "requests that had to wait for the store, because what their process kept of a budget was too little",
        only="accounts",
    ),
    METRIC_RECALL: MetricInfo(
        "histogram",
        ("store",),
        "how long these requests waited, for the store and for other processes to give back what they do not need",
        only="accounts",
    ),
    METRIC_JOURNAL_SLOTS: MetricInfo(
        "gauge", (), "requests that have a note in the journal, which becomes their row if the process is killed"
    ),
    METRIC_STORE_FAILURES: MetricInfo(
        "counter", (), "responses that could not be stored for clients that refer to them by id"
    ),
    METRIC_LOG_LINES_DROPPED: MetricInfo(
        "counter", ("output",), "log lines that the console, or the files, did not take in time"
    ),
    METRIC_SPANS_DROPPED: MetricInfo("counter", (), "spans of traces that no collector took"),
    METRIC_TRACES_DROPPED: MetricInfo("counter", (), "records of requests, and captured bodies, that were not written"),
    METRIC_LOOP_LAG: MetricInfo("gauge", (), "how late the event loop was, the most in the last 15 seconds", "max"),
    METRIC_BUILD: MetricInfo("gauge", ("version", "python"), "1, with the versions of the gateway and of Python"),
    METRIC_WORKERS: MetricInfo("gauge", (), "workers that accept requests", only="workers"),
    METRIC_WORKER_RESTARTS: MetricInfo("counter", (), "workers that exited unexpectedly", only="workers"),
    METRIC_DROPPED_LABEL_SETS: MetricInfo(
        "gauge", (), "label sets that did not fit into the memory that workers share; their sum has the label (other)",
        only="workers",
    ),
    METRIC_CONFIG_GENERATION: MetricInfo(
        "gauge", ("worker",), "number of configurations used since the start, the current one included", only="workers"
    ),
}  # fmt: skip

#: Metric -> its labels, in order.
LABELS: Final[dict[str, tuple[str, ...]]] = {name: info.labels for name, info in METRICS.items()}

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

# Values of the label ``team`` beside names of teams
NO_TEAM: Final = "none"
OTHER_TEAMS: Final = "_other"

# Values of the label ``tag`` beside those of the configuration
NO_TAG: Final = "none"
OTHER_TAGS: Final = "_other"
