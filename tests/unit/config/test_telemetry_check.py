"""Risk: a rule that is read as another one, so that what should be kept is not, or names of conventions that there are
not."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.config.telemetry_check import KeepRules, check_telemetry, keep_rules


def telemetry(**settings: Any) -> Any:
    return Config.from_dict({"telemetry": settings}).telemetry


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], None),
        (["errors"], KeepRules(errors=True)),
        (["slow>30s"], KeepRules(slower=30.0)),
        ([" slow > 500ms "], KeepRules(slower=0.5)),
        (["slow>2m", "slow>90"], KeepRules(slower=90.0)),  # the wider one
        (["cost>1", "errors", "cost>0.25"], KeepRules(errors=True, dearer=0.25)),
        (["cost>0"], KeepRules(dearer=0.0)),
    ],
)
def test_rules(rules: list[str], expected: KeepRules | None) -> None:
    assert keep_rules(telemetry(keep=rules)) == expected


NO_RULES = ("error", "slow", "slow>", "slow<3s", "slow>-1s", "cost>1e3", "cost>$1", "cost>nan", "")
NO_URLS = ("https://a.example", "ftp://a/{trace_id}", "javascript:{trace_id}", "https:// /{trace_id}")


@pytest.mark.parametrize("rule", NO_RULES)
def test_what_is_not_a_rule_is_named(rule: str) -> None:
    with pytest.raises(ConfigError, match=r"telemetry.keep\[1\]: .* is not a rule; expected") as refused:
        check_telemetry(telemetry(keep=["errors", rule]))
    assert "slow>30s" in str(refused.value.hint)


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_not_the_address_of_a_trace(url: str) -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.trace_url"):
        check_telemetry(telemetry(trace_url=url))


def test_other_conventions_refuse_to_start() -> None:
    for known in ("0.1", "1.37"):
        check_telemetry(telemetry(genai=known))
    with pytest.raises(ConfigError, match=r"telemetry.genai.*1\.36"):
        telemetry(genai="1.36")
