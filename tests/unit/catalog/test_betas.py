"""Risk: a value with two rules, a rule that never applies, a pair whose beta has another name in its group."""

from __future__ import annotations

import re

import pytest

from modelmux.catalog import builtin
from modelmux.catalog.betas import betas

TABLE = betas()
DATED = re.compile(r"[a-z0-9-]+-(\d{4}-\d{2}-\d{2}|\d{8}|\*)")


def test_every_value_has_one_rule() -> None:
    values = [value for group in TABLE.group for value in group.values]
    assert len(set(values)) == len(values) > 50
    assert all(DATED.fullmatch(value) for value in values)
    for group in TABLE.group:
        assert (group.to is not None) == (group.action == "rename")
        assert bool(group.reason) == (group.action == "drop" or group.models is not None or group.not_models != ())
        for value in group.values:
            assert TABLE.find(value.replace("*", "2026-01-01")) is group


def test_names_that_are_forwarded_are_kept_themselves() -> None:
    names = [group.to for group in TABLE.group if group.to is not None]
    for name in [*names, *(beta for pair in TABLE.pair for beta in pair.betas)]:
        group = TABLE.find(name)
        assert group is not None
        assert group.action == "keep"


def test_a_field_belongs_to_one_pair() -> None:
    fields = [field for pair in TABLE.pair for field in pair.fields]
    assert len(set(fields)) == len(fields)
    for pair in TABLE.pair:
        assert all(TABLE.needed_by(field) is pair for field in pair.fields)
    assert TABLE.needed_by("unknown") is None


@pytest.mark.parametrize("value", ["unknown-2027-01-01", "", "mcp-clientx-2025", "effort"])
def test_other_values_are_unknown(value: str) -> None:
    assert TABLE.find(value) is None


def test_which_models_a_value_is_for() -> None:
    def serves(value: str, model: str) -> bool:
        group = TABLE.find(value)
        assert group is not None
        return group.serves(model)

    models = ("claude-opus-5-5", "claude-opus-4-1@20250805")
    assert [serves("tool-search-tool-2025-10-19", model) for model in models] == [
        True, False,
    ]  # fmt: skip
    assert [serves("fast-mode-2026-02-01", model) for model in ("claude-fable-5-2", "claude-opus-5-5")] == [True, False]
    assert not serves("mcp-client-2025-11-20", "claude-opus-5-5")
    assert serves("effort-2025-11-24", builtin().cards[0].id)
