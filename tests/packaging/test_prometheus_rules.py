"""The alerts for Prometheus. Risk: one never fires, never clears, or names a metric that is not there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from support.prometheus import RULES, exposed_names, names_in, needs_promtool, rules

ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
#: One line each: ``a+bxn`` is a, and n times b more, a minute apart.
ERRORS = 'modelmux_requests_total{job="modelmux",outcome="upstream_error"}'
GOOD = 'modelmux_requests_total{job="modelmux",outcome="ok"}'
IN_TIME = 'modelmux_time_to_first_token_seconds_bucket{job="modelmux",le="5.0"}'
FIRST = 'modelmux_time_to_first_token_seconds_count{job="modelmux"}'
JUMP = "0+0x10 5+0x200"


class Case(NamedTuple):
    """:param fires, clears: minutes. :param labels: of the alert, beside the severity."""

    series: dict[str, str]
    fires: int
    clears: int
    labels: dict[str, str]


JOB = {"job": "modelmux"}
DATA = {"team": "data", **JOB}
BUDGET = {"budget": "b", **JOB}


def of_budget(name: str) -> str:
    return f'modelmux_budget_{name}{{job="modelmux",budget="b"}}'


def plain(name: str, values: str, fires: int, clears: int, **labels: str) -> Case:
    """A case of one series."""
    every = {**JOB, **labels}
    written = ",".join(f'{label}="{value}"' for label, value in every.items())
    return Case({f"{name}{{{written}}}": values}, fires, clears, every)


CASES = {
    "ModelMuxErrorsBurnFast": Case({ERRORS: "0+10x60 600+0x60", GOOD: "0+90x120"}, 60, 75, JOB),
    "ModelMuxErrorsBurn": Case({ERRORS: "0+4x120 480+0x120", GOOD: "0+96x240"}, 120, 180, JOB),
    "ModelMuxErrorsBurnSlowly": Case({ERRORS: "0+1x600 600+0x600", GOOD: "0+99x1200"}, 300, 1000, JOB),
    "ModelMuxFirstTokensBurnFast": Case({IN_TIME: "0+10x60 700+100x60", FIRST: "0+100x120"}, 60, 75, JOB),
    "ModelMuxFirstTokensBurn": Case({IN_TIME: "0+60x120 7300+100x120", FIRST: "0+100x240"}, 120, 180, JOB),
    "ModelMuxBudgetSoonSpent": Case(
        {of_budget("spent_usd"): "0+0.2x400 80+0x400", of_budget("limit_usd"): "100+0x800",
         of_budget("resets_at_seconds"): "172800+0x800"}, 300, 790, BUDGET,
    ),
    "ModelMuxBudgetSpent": Case(
        {of_budget("spent_usd"): "50+0x10 99+0x20 0+0x30", of_budget("limit_usd"): "100+0x60",
         of_budget("held_usd"): "1+0x60"}, 25, 40, BUDGET,
    ),
    "ModelMuxRefusalsHigh": Case(
        {'modelmux_refusals_total{job="modelmux",reason="budget",team="data"}': "0+10x60 600+0x60",
         GOOD: "0+100x120"}, 40, 90, DATA,
    ),
    "ModelMuxInDoubt": plain("modelmux_in_doubt_usd_total", JUMP, 15, 90),
    "ModelMuxUnderrun": plain("modelmux_budget_underrun_usd_total", JUMP, 15, 90),
    "ModelMuxPriceMissing": plain("modelmux_ledger_unpriced_requests_total", JUMP, 15, 90),
    "ModelMuxPriceOld": plain("modelmux_price_age_days", "89+0x10 91+0x100 3+0x100", 90, 150),
    "ModelMuxDown": plain("up", "1+0x5 0+0x10 1+0x10", 10, 20, instance="a:3000"),
    "ModelMuxNoTraffic": Case({GOOD: "0+10x120 1200+0x29 1210+10x60"}, 148, 165, JOB),
    "ModelMuxStoreDown": plain("modelmux_store_up", "1+0x5 0+0x10 1+0x10", 10, 20),
    "ModelMuxLedgerStuck": plain("modelmux_ledger_lag_seconds", "0+0x5 61+0x20 0+0x10", 15, 30),
    "ModelMuxLedgerRowsLost": plain("modelmux_ledger_rows_lost_total", JUMP, 15, 90),
    "ModelMuxLimitsNotShared": plain("modelmux_limits_shared", "1+0x5 0+0x10 1+0x10", 13, 20, instance="a:3000"),
    "ModelMuxCircuitOpen": plain("modelmux_deployment_circuit_open", "0+0x5 1+0x20 0+0x10", 20, 30, deployment="m@eu"),
    "ModelMuxCredentialsFail": Case(
        {'modelmux_error_responses_total{job="modelmux",code="upstream_auth_error",status="502"}': "0+1x40 40+0x30"},
        30, 55, JOB,
    ),
    "ModelMuxLoopLag": plain("modelmux_loop_lag_seconds", "0.3+0x20 0+0x20", 15, 30),
    "ModelMuxTelemetryDropping": plain("modelmux_telemetry_dropped_total", "0+1x40 40+0x40", 25, 60),
}  # fmt: skip


def unit_test(alert: str, case: Case) -> dict[str, Any]:
    """For promtool: the alert fires at its time, with its labels and texts, and no more later."""
    rule = ALERTS[alert]
    texts = {
        name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: case.labels[match[1]], text)
        for name, text in rule["annotations"].items()
    }
    expected = [{"exp_labels": {**case.labels, **rule["labels"]}, "exp_annotations": texts}]
    return {
        "name": alert,
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [
            {"alertname": alert, "eval_time": f"{case.fires}m", "exp_alerts": expected},
            {"alertname": alert, "eval_time": f"{case.clears}m", "exp_alerts": []},
        ],
    }


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    promtool("check", "rules", RULES)


@needs_promtool
def test_promtool_accepts_the_example(tmp_path: Path) -> None:
    for file in RULES.parent.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "modelmux.token").write_text("a-token")
    promtool("check", "config", tmp_path / "prometheus.yml")


def test_every_alert_has_a_case_a_severity_and_an_action() -> None:
    assert CASES.keys() == ALERTS.keys()
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["annotations"].keys() == {"summary", "action"}, name


@needs_promtool
@pytest.mark.parametrize("alert", CASES)
def test_the_alert_fires_and_clears(alert: str, tmp_path: Path) -> None:
    tests = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [unit_test(alert, CASES[alert])]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(tests))
    promtool("test", "rules", tmp_path / "test.yml")


def test_every_metric_of_the_rules_exists() -> None:
    for rule in rules():
        texts = [rule["expr"], *rule.get("annotations", {}).values()]
        found = set().union(*(names_in(text) for text in texts))
        assert found <= exposed_names() | {name.removesuffix("_bucket") for name in exposed_names()}, rule
    assert names_in("sum(modelmux_a_total) / modelmux:b:c{x='y'}") == {"modelmux_a_total", "modelmux:b:c"}
