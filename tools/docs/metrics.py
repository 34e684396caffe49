"""The text of ``docs/metrics.md``, generated from the table of metrics in ``telemetry/names.py`` and from the alerts.

``python -m tools.docs.metrics > docs/metrics.md`` renews it (``make docs``); a test holds the two equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from modelmux.telemetry import names
from modelmux.telemetry.names import MetricInfo

_HEAD: Final = """# Metrics

`GET /metrics` is in the text format of Prometheus, and in that of OpenMetrics for a scraper that asks for it. This page
is generated from the table that the code uses: `make docs` rewrites it, and a test compares the two. Names and labels
are part of the interface: changes are listed in the changelog.

```yaml
scrape_configs:
  - job_name: modelmux
    authorization: { credentials: "one of server.api_keys" }   # without keys, leave it out
    static_configs: [{ targets: ["127.0.0.1:3000"] }]
```

Where there is an [admin API](admin-api.md), its listener has the same page for a token of the role `viewer`, `admin` or
`owner`: a scraper then needs no key that may call models. `metrics.listener = "admin"` leaves the port of the models
without it. [packaging/prometheus/prometheus.yml](../packaging/prometheus/prometheus.yml) scrapes that listener.

- With several workers, any of them shows the sums over all, and so does the process of the admin API. Of some gauges it
  is the largest or the smallest value; the column says so.
- The values of every label are bounded by the configuration. A key, a person, an end user and what a client sends
  are never a label, nor is a tag but for listed values of one. What clients make up counts as the route `unknown`.
- `team` is the name of the key's own team: `none` without one. The first `metrics.max_teams` teams by their ids, 200 if
  not set, have their own label; the others share `_other`.
- `tag` is a value of the one [tag](accounts.md#who-asked) that `metrics.tag` names: one of `metrics.tag_values`, 200 at
  most; others share `_other`, and requests without it have `none`. Without the setting there is no such metric.
- `budget` is the name of a budget with `metric = true`: of one in USD, with one window. At most 200 are shown; the
  first worker reads them from the ledger every 15 seconds.
- `store` is the kind of `accounts.store`.
- Money is that of the ledger, converted to USD. Sums of it are exact in [reports](accounts.md#reports-and-corrections)
  only.
- The buckets of `modelmux_request_duration_seconds` have exemplars in the format of OpenMetrics: the id of a trace that
  is kept, here or by the client ([more](observability.md)). Prometheus stores them with
  `--enable-feature=exemplar-storage`. They are those of the workers that run.
- [OpenTelemetry](observability.md#metrics) gets the same numbers, if the environment names a collector.
- `process_*` metrics have CPU time, memory, open files and start time of the process; with several workers they have
  the label `worker`.

| metric | type | unit | labels | meaning |
|---|---|---|---|---|
"""
_TAIL: Final = """
## Dashboard

[packaging/grafana/modelmux.json](../packaging/grafana/modelmux.json) is a dashboard for Grafana 11 and later, without
plugins. The Debian package has it, and the files for Prometheus, in `/usr/share/modelmux`. Import it under
*Dashboards, New, Import*, or put it into a folder that Grafana provisions. It has variables for the data source, for
jobs, teams and routes. The money it shows needs `accounts.enabled`; the budgets are those with
`metric = true`.

## Alerts

[packaging/prometheus/rules.yml](../packaging/prometheus/rules.yml) has alerts for `rule_files` of Prometheus. `page` is
for people who are on call, `ticket` for the next day. The objectives are 99.5 % of the requests without an error of the
gateway or of Vertex AI, and 95 % with their first content within 5 seconds; what the client did wrong does not count.
`ModelMuxDown` looks at jobs with `modelmux` in their names.

| alert | severity | what has happened | what to do |
|---|---|---|---|
"""
_RULES: Final = Path(__file__).resolve().parents[2] / "packaging" / "prometheus" / "rules.yml"
_MERGED: Final = {"sum": "", "max": "; of several workers the largest", "min": "; of several workers the smallest"}
_ONLY: Final = {"workers": "; with several workers", "accounts": "; with `accounts.enabled`", None: ""}
#: Metric -> where there is more about it.
_MORE: Final = {
    names.METRIC_SHED: "reliability.md#load",
    names.METRIC_SPANS_DROPPED: "observability.md#what-it-costs",
    names.METRIC_TRACES_DROPPED: "observability.md#what-a-record-costs",
    names.METRIC_LEDGER_UNPRICED: "accounts.md#what-it-costs",
    names.METRIC_BUDGET_UNDERRUN: "accounts.md#budgets",
    names.METRIC_BUDGET_BEYOND: "accounts.md#outages-and-budgets",
    names.METRIC_RECALL: "accounts.md#budgets",
    names.METRIC_DROPPED_LABEL_SETS: "deployment.md#more-than-one-core",
}
#: Suffix of a name, without that of counters -> unit.
_UNITS: Final = {"seconds": "seconds", "usd": "USD", "days": "days"}


def render() -> str:
    """The complete page."""
    return _HEAD + "\n".join(_rows()) + "\n" + _TAIL + "\n".join(_alerts()) + "\n"


def unit_of(name: str, info: MetricInfo) -> str:
    """What one counts."""
    last = name.removesuffix("_total").rpartition("_")[2]
    if last in _UNITS:
        return _UNITS[last]
    is_tokens = "_tokens" in name or name == names.METRIC_CACHE_UNREAD
    return "tokens" if is_tokens and info.kind == "counter" else ""


def _rows() -> Iterator[str]:
    for name, info in names.METRICS.items():
        labels = ", ".join(f"`{label}`" for label in info.labels)
        more = f" ([more]({_MORE[name]}))" if name in _MORE else ""
        meaning = re.sub(r"\b(modelmux_\w+|metric = true)", r"`\1`", info.meaning)
        text = f"{meaning}{_MERGED[info.merge]}{_ONLY[info.only]}{more}"
        yield f"| `{name}` | {info.kind} | {unit_of(name, info)} | {labels} | {text} |"


def _alerts() -> Iterator[str]:
    for group in yaml.safe_load(_RULES.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                texts = (_shown(rule["annotations"][name]) for name in ("summary", "action"))
                yield f"| `{rule['alert']}` | {rule['labels']['severity']} | {' | '.join(texts)} |"


def _shown(text: str) -> str:
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"*\1*", text)
    return re.sub(r"(?<!`)\b(modelmux_\w+)", r"`\1`", text)


if __name__ == "__main__":
    print(render(), end="")
