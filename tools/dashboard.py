"""The dashboard for Grafana, ``packaging/grafana/modelmux.json``, from a table of its panels.

``python -m tools.dashboard > packaging/grafana/modelmux.json`` renews it (``make docs``); a test holds the two equal.
The schema is that of Grafana 11, without plugins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

#: Columns of Grafana's grid.
_COLUMNS: Final = 24
#: A panel's height by its kind, in rows of the grid.
_HEIGHTS: Final = {"stat": 4, "timeseries": 8, "heatmap": 8, "bargauge": 8}
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_ERRORS: Final = 'outcome=~"upstream_error|gateway_error"'


class Query(NamedTuple):
    """:param legend: with labels in double braces."""

    text: str
    legend: str = ""


class Panel(NamedTuple):
    """:param width: in columns. :param about: shown behind the title."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["stat", "timeseries", "heatmap", "bargauge"] = "timeseries"
    width: int = 8
    about: str = ""


def _rate(metric: str, by: str = "", more: str = "", *, window: str = "$__rate_interval") -> str:
    """The rate of a counter, added up. :param more: further conditions."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({_of(metric, more)}[{window}]))"


def _sum(metric: str, by: str = "", more: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} ({_of(metric, more)})"


def _of(metric: str, more: str = "") -> str:
    """A metric of the chosen jobs, and of the chosen routes and teams where it has such labels."""
    conditions = ['job=~"$job"']
    if metric.startswith(_BY_ROUTE):
        conditions.append('route=~"$route"')
    if metric.startswith(_BY_TEAM):
        conditions.append('team=~"$team"')
    return f"{metric}{{{','.join([*conditions, *filter(None, [more])])}}}"


_BY_ROUTE: Final = tuple(
    f"modelmux_{name}"
    for name in (
        "requests_total",
        "request_duration_seconds",
        "time_",
        "overhead_",
        "tokens_total",
        "cost_usd_total",
        "cache_",
    )
)
_BY_TEAM: Final = ("modelmux_tokens_by_team_total", "modelmux_cost_usd_total", "modelmux_refusals_total")


def _quantiles(metric: str) -> tuple[Query, ...]:
    """The median, and what 5 % and 1 % exceed."""
    return tuple(
        Query(f"histogram_quantile({share}, {_rate(f'{metric}_bucket', 'le')})", f"p{share * 100:g}")
        for share in (0.5, 0.95, 0.99)
    )


def _heat(metric: str) -> tuple[Query, ...]:
    return (Query(_rate(f"{metric}_bucket", "le"), "{{le}}"),)


def _failed(window: str) -> str:
    """The share of the requests that may fail which did."""
    failed = f"({_rate('modelmux_requests_total', '', _ERRORS, window=window)} or vector(0))"
    asked = _rate("modelmux_requests_total", "", 'outcome!="client_error"', window=window)
    return f"{failed} / {asked}"


_TTFT: Final = "modelmux_time_to_first_token_seconds"
_DURATION: Final = "modelmux_request_duration_seconds"
_SPENT: Final = "modelmux_cost_usd_total"
_COST: Final = _of(_SPENT)
_BUDGET: Final = {name: _of(f"modelmux_budget_{name}") for name in ("limit_usd", "spent_usd", "held_usd")}
_READ: Final = _rate("modelmux_tokens_total", "route", 'type="cache_read"')
_INPUT: Final = _rate("modelmux_tokens_total", "route", 'type!="output"')
_OUTPUT: Final = _rate("modelmux_tokens_total", "", 'type="output"')

#: Title of a row -> its panels.
ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Now": (
        Panel("Requests", (Query(_rate("modelmux_requests_total")),), "reqps", "stat", 4),
        Panel("Errors", (Query(_failed("5m")),), "percentunit", "stat", 4, "Of Vertex AI and of the gateway."),
        Panel("First content", _quantiles(_TTFT)[:2], "s", "stat", 4),
        Panel("In flight", (Query(_sum("modelmux_requests_in_flight")),), "short", "stat", 4),
        Panel(
            "Spent in 24 hours",
            (
                Query(f"sum (increase({_COST}[24h]))", "24 hours"),
                Query(f"sum (increase({_COST}[24h] offset 24h)) or vector(0)", "the day before"),
            ),
            "currencyUSD",
            "stat",
            4,
        ),
        Panel(
            "Error budget left",
            (Query(f"1 - ({_failed('30d')}) / 0.005"),),
            "percentunit",
            "stat",
            4,
            "Of what may fail in 30 days: 0.5 % of the requests.",
        ),
    ),
    "Traffic": (
        Panel("Requests by route", (Query(_rate("modelmux_requests_total", "route"), "{{route}}"),), "reqps"),
        Panel("Requests by outcome", (Query(_rate("modelmux_requests_total", "outcome"), "{{outcome}}"),), "reqps"),
        Panel("Refused by reason", (Query(_rate("modelmux_refusals_total", "reason"), "{{reason}}"),), "reqps"),
        Panel(
            "Attempts",
            (
                Query(_rate("modelmux_upstream_attempts_total"), "all"),
                Query(_rate("modelmux_upstream_attempts_total", "", 'result!="ok"'), "failed"),
            ),
            "reqps",
            about="Of calls to Vertex AI; a request has several if one fails.",
        ),
        Panel("Error responses", (Query(_rate("modelmux_error_responses_total", "code"), "{{code}}"),), "reqps"),
        Panel("Rejected because of the load", (Query(_rate("modelmux_requests_shed_total", "reason"), "{{reason}}"),)),
    ),
    "Latency": (
        Panel("First content", _quantiles(_TTFT), "s"),
        Panel("Whole request", _quantiles(_DURATION), "s"),
        Panel("Per output token", _quantiles("modelmux_time_per_output_token_seconds"), "s"),
        Panel("First content", _heat(_TTFT), "s", "heatmap", 12),
        Panel("The gateway's own time", _heat("modelmux_overhead_seconds"), "s", "heatmap", 12),
        Panel("Time in the queue", _quantiles("modelmux_queue_wait_seconds"), "s", width=12),
        Panel("Queued", (Query(_sum("modelmux_requests_queued")),), width=12),
    ),
    "Tokens and cache": (
        Panel("Tokens", (Query(_rate("modelmux_tokens_total", "type"), "{{type}}"),), width=12),
        Panel(
            "Read from the cache",
            (Query(f"{_READ} / {_INPUT}", "{{route}}"),),
            "percentunit",
            width=12,
            about="Share of the tokens of input.",
        ),
        Panel(
            "Written to the cache, never read",
            (Query(f"{_rate('modelmux_cache_write_unread_total', 'route')} or vector(0)", "{{route}}"),),
            width=12,
            about="Tokens a second whose caller wrote again before it had read them. They cost more than input.",
        ),
        Panel("Tokens by team", (Query(_rate("modelmux_tokens_by_team_total", "team"), "{{team}}"),), width=12),
    ),
    "Money": (
        Panel("USD an hour by team", (Query(f"3600 * {_rate(_SPENT, 'team')}", "{{team}}"),), "currencyUSD"),
        Panel("USD an hour by model", (Query(f"3600 * {_rate(_SPENT, 'model')}", "{{model}}"),), "currencyUSD"),
        Panel(
            "Teams in 30 days",
            (Query(f"topk(10, sum by (team) (increase({_COST}[30d])))", "{{team}}"),),
            "currencyUSD",
            "bargauge",
        ),
        Panel(
            "Budgets: spent and held",
            (
                Query(f"{_BUDGET['spent_usd']} / {_BUDGET['limit_usd']}", "{{budget}} spent"),
                Query(f"{_BUDGET['held_usd']} / {_BUDGET['limit_usd']}", "{{budget}} held"),
            ),
            "percentunit",
            about="Of the limit; budgets with metric = true.",
        ),
        Panel(
            "At this pace, empty in",
            (
                Query(
                    f"({_BUDGET['limit_usd']} - {_BUDGET['spent_usd']}) / "
                    f"clamp_min(deriv({_BUDGET['spent_usd']}[6h]), 1e-9)",
                    "{{budget}}",
                ),
            ),
            "s",
            about="At the pace of the last six hours.",
        ),
        Panel(
            "USD per 1,000 tokens of output",
            (Query(f"1000 * {_rate(_SPENT)} / {_OUTPUT}"),),
            "currencyUSD",
        ),
        Panel("Age of the prices", (Query(f"max ({_of('modelmux_price_age_days')})"),), "d", "stat", 8),
        Panel(
            "Requests without a price",
            (Query(f"sum (increase({_of('modelmux_ledger_unpriced_requests_total')}[24h]))", "24 hours"),),
            "short",
            "stat",
        ),
        Panel(
            "Passed and in doubt",
            (
                Query(f"sum (increase({_of('modelmux_budget_underrun_usd_total')}[24h]))", "above what was held"),
                Query(f"sum (increase({_of('modelmux_budget_beyond_leases_usd_total')}[24h]))", "in outages"),
                Query(f"sum (increase({_of('modelmux_in_doubt_usd_total')}[24h]))", "in doubt"),
            ),
            "currencyUSD",
            "stat",
        ),
    ),
    "Upstream": (
        Panel(
            "Attempts",
            (Query(_rate("modelmux_upstream_attempts_total", "deployment, result"), "{{deployment}} {{result}}"),),
            "reqps",
        ),
        Panel(
            "Quota exceeded (429)",
            (Query(_rate("modelmux_upstream_attempts_total", "deployment", 'result="rate_limit"'), "{{deployment}}"),),
            "reqps",
        ),
        Panel(
            "Circuit breakers that are open",
            (Query(_sum("modelmux_deployment_circuit_open", "deployment"), "{{deployment}}"),),
        ),
        Panel("In flight", (Query(_sum("modelmux_deployment_in_flight", "deployment"), "{{deployment}}"),), width=24),
    ),
    "Inside": (
        Panel("CPU", (Query(_rate("process_cpu_seconds_total", "instance, worker"), "{{instance}} {{worker}}"),)),
        Panel(
            "Memory",
            (Query(_sum("process_resident_memory_bytes", "instance, worker"), "{{instance}} {{worker}}"),),
            "bytes",
        ),
        Panel("Event loop late by", (Query(_of("modelmux_loop_lag_seconds"), "{{instance}}"),), "s"),
        Panel(
            "Ledger",
            (
                Query(_rate("modelmux_ledger_rows_total"), "rows a second"),
                Query(_sum("modelmux_ledger_rows_waiting"), "waiting"),
                Query(_rate("modelmux_ledger_errors_total"), "errors a second"),
                Query(_sum("modelmux_journal_slots_used"), "in the journal"),
            ),
        ),
        Panel(
            "Requests that waited for budgets",
            (Query(f"{_rate('modelmux_lease_short_total', 'store')} or vector(0)", "{{store}}"),),
            "reqps",
            about="What their process kept of a budget was too little.",
        ),
        Panel("Waited for budgets", _quantiles("modelmux_recall_seconds"), "s"),
        Panel("Exchange with the store", _quantiles("modelmux_exchange_seconds"), "s"),
        Panel("Ledger late by", (Query(_of("modelmux_ledger_lag_seconds"), "{{instance}}"),), "s"),
        Panel(
            "Dropped",
            (
                Query(_rate("modelmux_telemetry_dropped_total"), "spans"),
                Query(_rate("modelmux_log_lines_dropped_total", "output"), "log lines: {{output}}"),
                Query(_rate("modelmux_traces_dropped_total"), "records of requests"),
                Query(_rate("modelmux_ledger_rows_lost_total"), "rows of the ledger"),
                Query(_rate("modelmux_response_store_failures_total"), "stored responses"),
            ),
        ),
        Panel("Store", (Query(f"min ({_of('modelmux_store_up')})"),), "bool_on_off", "stat", 4),
        Panel(
            "Rate limits are shared",
            (Query(f"min ({_of('modelmux_limits_shared')})"),),
            "bool_on_off",
            "stat",
            4,
            "With limits.redis: whether all nodes share them. If not, some take their part of each limit.",
        ),
        Panel("Workers", (Query(_sum("modelmux_workers")),), "short", "stat", 4),
        Panel(
            "Workers started again",
            (Query(f"sum (increase({_of('modelmux_worker_restarts_total')}[24h]))", "24 hours"),),
            "short",
            "stat",
            6,
        ),
        Panel("Version", (Query(_sum("modelmux_build_info", "version, python"), "{{version}}"),), "short", "stat", 6),
    ),
}


def render() -> str:
    """The JSON of the dashboard."""
    dashboard = {
        "uid": "modelmux",
        "title": "ModelMux",
        "description": "A gateway to Claude on Vertex AI. docs/metrics.md describes the metrics.",
        "tags": ["modelmux", "llm"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }
    return json.dumps(dashboard, indent=1)


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    for name, query in (
        ("job", "label_values(modelmux_build_info, job)"),
        ("team", 'label_values(modelmux_tokens_by_team_total{job=~"$job"}, team)'),
        ("route", 'label_values(modelmux_requests_total{job=~"$job"}, route)'),
    ):
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }


def _panels() -> Iterator[dict[str, Any]]:
    number = y = 0
    for title, panels in ROWS.items():
        number += 1
        yield {
            "id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": y},
        }  # fmt: skip
        y, x, height = y + 1, 0, 0
        for panel in panels:
            if x + panel.width > _COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            height = max(height, _HEIGHTS[panel.kind])
            yield _panel(number, panel, x, y)
            x += panel.width
        y += height


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    is_heat, is_series = panel.kind == "heatmap", panel.kind == "timeseries"
    defaults = {"unit": panel.unit, "min": 0} if is_series else {"unit": panel.unit}
    shown: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"h": _HEIGHTS[panel.kind], "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.text,
                "legendFormat": query.legend or "__auto",
                "format": "heatmap" if is_heat else "time_series",
                "instant": panel.kind == "bargauge",
                "range": panel.kind != "bargauge",
                "exemplar": is_heat,
            }
            for index, query in enumerate(panel.queries)
        ],
    }  # fmt: skip
    if panel.about:
        shown["description"] = panel.about
    if is_heat:
        shown["options"] = {"calculate": False, "yAxis": {"unit": panel.unit}, "exemplars": {"color": "orange"}}
    elif is_series:
        shown["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    else:
        shown["options"] = {"reduceOptions": {"calcs": ["lastNotNull"], "values": False}}
    return shown


if __name__ == "__main__":
    print(render())
