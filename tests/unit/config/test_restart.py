"""Which changed settings a reload says to need a restart, and that the documentation lists them.

Risk: an operator changes a setting of the process, reloads, and believes that it applies."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from modelmux.config import Config, parse
from modelmux.config.restart import FIXED, restart_needed

DEPLOYMENT = (Path(__file__).parents[3] / "docs" / "deployment.md").read_text("utf-8")


def test_the_documentation_lists_every_setting_that_needs_a_restart() -> None:
    text = DEPLOYMENT.partition("\n## A new configuration in a running process\n")[2]
    listed = re.search(r"These need a restart[^:]*:(.*?)\.\s", text, re.DOTALL)
    assert listed is not None
    names = re.findall(r"`\[?([a-z_.]+)\]?`", listed[1])
    assert sorted(names) == sorted([*FIXED, "server.seal_keys"])


def test_each_of_them_is_told_when_it_changes() -> None:
    before = Config()
    for name in FIXED:
        table, _, key = name.partition(".")
        of_table = getattr(before, table)
        changed = msgspec.structs.replace(before, **{table: object() if not key else _changed(of_table, key)})
        assert restart_needed(before, changed) == [name] if key else name in restart_needed(before, changed)


def test_a_change_of_other_settings_needs_none() -> None:
    assert restart_needed(parse("[retries]\nmax = 1"), parse("[retries]\nmax = 2")) == []


def _changed(table: msgspec.Struct, key: str) -> msgspec.Struct:
    return msgspec.structs.replace(table, **{key: object()})
