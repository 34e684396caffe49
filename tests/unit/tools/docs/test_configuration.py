"""The reference of settings says what the table says, completely, and its examples are configurations."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

import pytest

from modelmux.config import build_routes, parse
from modelmux.config.settings import settings
from modelmux.config.streaming import build_stream_modes

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.configuration import render

DOCS = Path(__file__).resolve().parents[4] / "docs"
EXAMPLES = re.findall(r"```toml\n(.*?)```", render(), re.DOTALL)
GROUND = "[vertex]\nproject = 'p'\nlocation = 'global'\n"


def test_the_page_is_what_the_table_says() -> None:
    assert (DOCS / "configuration.md").read_text("utf-8") == render(), "run `make docs`"


def test_every_setting_and_every_variable_is_on_it() -> None:
    page = render()
    for setting in settings():
        header = ".".join(part for part in setting.path[:-1] if part != "[]")
        section = page.partition(f"{header}]")[2] if header else page
        assert f"| `{setting.path[-1]}` |" in section, setting.name
        for env in setting.env:
            assert f"`{env.name}`" in page or "__" in env.name, env.name


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_is_a_configuration(number: int) -> None:
    text = EXAMPLES[number]
    config = parse(text)
    build_stream_modes(config)
    whole = text if "[vertex]" in text else GROUND + text
    parsed = parse(whole)
    build_routes(parsed, parsed.build_catalog(), date(2026, 12, 1))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 9


def test_every_command_has_a_section() -> None:
    from modelmux.cli.config.command import _COMMANDS as CONFIG
    from modelmux.cli.main import _COMMANDS

    page = (DOCS / "cli.md").read_text("utf-8")
    for name in _COMMANDS:
        assert f"\n## `modelmux {name}" in page, name
    for name in CONFIG:
        assert f"\n### `modelmux config {name}" in page, name
