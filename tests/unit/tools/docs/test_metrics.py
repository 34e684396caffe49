"""The page of metrics says what the table says, completely."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelmux.telemetry import names

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.metrics import render, unit_of

DOCS = Path(__file__).resolve().parents[4] / "docs"


def test_the_page_is_what_the_table_says() -> None:
    assert (DOCS / "metrics.md").read_text("utf-8") == render(), "run `make docs`"


def test_every_metric_is_on_it_with_its_labels() -> None:
    rows = {line.split("|")[1].strip(): line for line in render().splitlines() if line.startswith("| `modelmux_")}
    assert set(rows) == {f"`{name}`" for name in names.METRICS}
    for name, info in names.METRICS.items():
        assert info.kind in rows[f"`{name}`"]
        assert all(f"`{label}`" in rows[f"`{name}`"] for label in info.labels)


def test_names_say_kind_and_unit_as_prometheus_wants_them() -> None:
    """https://prometheus.io/docs/practices/naming/"""
    for name, info in names.METRICS.items():
        assert name.startswith("modelmux_")
        assert name.endswith("_total") == (info.kind == "counter"), name
        assert info.kind != "histogram" or unit_of(name, info) == "seconds", name
