"""docs/clients: what the pages say to set is what ``modelmux connect`` prints, and what they link to exists."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.clients import PAGES, ROOT, renew
from tools.docs.tried import TRIED, line

from modelmux.cli.connect.table import clients
from modelmux.cli.main import _COMMANDS

ALL = sorted(PAGES.glob("*.md"))
#: Clients whose settings for a second API differ from the first in a word that the page names.
DESCRIBED = {("opencode", "messages"), ("continue", "chat"), ("zed", "chat")}


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_the_settings_are_those_that_are_printed(page: Path) -> None:
    text = page.read_text("utf-8")
    assert renew(text) == text, "run `make docs`"


def test_every_client_is_on_its_page() -> None:
    for client in clients().client:
        text = (PAGES / client.page).read_text("utf-8")
        assert (client.name, client.api) in DESCRIBED or f"<!-- connect {client.name} {client.api} -->" in text


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    for command in re.findall(r"`modelmux ([a-z-]+)", page.read_text("utf-8")):
        assert command in _COMMANDS


@pytest.mark.parametrize("page", [page for page in ALL if page.name != "README.md"], ids=lambda page: page.name)
def test_each_page_says_how_it_was_tried(page: Path) -> None:
    named = re.findall(r"^<!-- tried ([\w-]+) -->$", page.read_text("utf-8"), re.MULTILINE)
    assert named == [page.stem]


def test_what_was_tried_has_a_page_and_its_tests_exist() -> None:
    assert set(TRIED) == {page.stem for page in ALL} - {"README"}
    for name, tried in TRIED.items():
        assert line(name)
        assert bool(tried.packages) == bool(tried.tests), name
        assert tried.tests or tried.by_hand or tried.source, name
        for test in tried.tests:
            assert (ROOT / "tests" / "e2e" / "clients" / test).exists()


def test_the_index_is_linked() -> None:
    for page in ("README.md", "docs/cli.md"):
        assert "clients/README.md" in (ROOT / page).read_text("utf-8")
