"""The dashboard for Grafana. Risk: a panel names a metric that is not there, or Grafana does not take the file.

``tests/e2e/test_prometheus.py`` asks its queries of a real Prometheus.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from modelmux.telemetry import names
from support.prometheus import DASHBOARD, exposed_names, names_in, panels

sys.path.insert(0, str(Path(__file__).parents[2]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.dashboard import ROWS, render

BOARD: dict[str, Any] = json.loads(DASHBOARD.read_text())


def test_the_file_is_what_the_table_says() -> None:
    assert DASHBOARD.read_text() == f"{render()}\n", "run `make docs`"


def test_every_metric_of_a_query_exists() -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    queries += [variable["definition"] for variable in BOARD["templating"]["list"] if "definition" in variable]
    for query in queries:
        assert names_in(query), query
        assert names_in(query) <= exposed_names(), query


def test_no_metric_is_without_a_panel() -> None:
    shown = set().union(*(names_in(target["expr"]) for panel in panels() for target in panel["targets"]))
    missing = {name for name in names.METRICS if not any(one.startswith(name) for one in shown)}
    assert missing == {
        "modelmux_price_missing_total",  # of the requests without a price, which are shown, it names the model
        "modelmux_budget_resets_at_seconds",  # for alerts
        # With a setting only:
        *(f"modelmux_{name}_total" for name in ("requests_by_tag", "tokens_by_tag", "cost_by_tag_usd")),
        "modelmux_dropped_label_sets",
        "modelmux_config_generation",
    }


def test_grafana_finds_what_it_needs() -> None:
    assert (BOARD["uid"], BOARD["schemaVersion"]) == ("modelmux", 39)
    assert [one["name"] for one in BOARD["templating"]["list"]] == ["datasource", "job", "team", "route"]
    assert [one["title"] for one in BOARD["panels"] if one["type"] == "row"] == list(ROWS)
    ids = [one["id"] for one in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert {one["type"] for one in BOARD["panels"]} <= {"row", "stat", "timeseries", "heatmap", "bargauge"}  # no plugin
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert [target["refId"] for target in panel["targets"]] == list("ABCDE")[: len(panel["targets"])]


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
