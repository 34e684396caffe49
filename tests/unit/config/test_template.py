"""The template: a file that can be used as it is, and with every line of it taken into use."""

from __future__ import annotations

import re
from typing import Any

import pytest

from modelmux.config import parse
from modelmux.config.introspection import is_table, item_of
from modelmux.config.settings import settings
from modelmux.config.sources import parse_source
from modelmux.config.template import render

VALUES: dict[str, Any] = {
    "server": {"port": 8080, "api_keys": ["k"]},
    "vertex": {"project": "p", "location": "eu", "models": [{"name": "fast", "model": "claude-haiku-4-5@20251001"}]},
    "aliases": {"gpt-4o": "fast"},
    "accounts": {"prices": {"claude-next": {"input": "4"}}},
}


@pytest.mark.parametrize("values", [{}, VALUES])
def test_it_says_what_it_is_given_and_nothing_else(values: dict[str, Any]) -> None:
    tree = parse_source(render(values), "t").tree
    kept = {name: table for name, table in tree.items() if table}
    assert kept == values
    parse(render(values))


@pytest.mark.parametrize("values", [{}, VALUES])
def test_every_commented_line_can_be_taken_into_use(values: dict[str, Any]) -> None:
    text = re.sub(r"^#(?=[\[\w\"])", "", render(values), flags=re.MULTILINE)
    config = parse(text)
    assert config.vertex.models[-1].deployments[0].location == "global"
    assert config.streaming.clients[0].mode == "single"
    assert config.server.port == (8080 if values else 3000)


def test_every_setting_is_in_it_with_its_sentence() -> None:
    flowing = re.sub(r"\n# ", " ", render({}))
    for setting in settings():
        if is_table(item_of(setting.kind)):
            assert f"#[[{setting.name.replace('[]', '')}]]" in flowing, setting.name
            continue
        assert setting.description.removesuffix(".") in flowing, setting.name
        if setting.name not in ("aliases", "catalog", "accounts.prices"):
            assert re.search(rf"^#{setting.path[-1]} = ", flowing, re.MULTILINE), setting.name


def test_no_line_is_too_long() -> None:
    assert [line for line in render(VALUES).splitlines() if len(line) > 160] == []
