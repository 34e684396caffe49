"""The README: the order of its parts, the two commands at its top, and the parts that come from other pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.readme import README, ROWS, cost, published, renew

TEXT = README.read_text("utf-8")


def test_the_generated_parts_are_what_the_other_pages_say() -> None:
    assert renew(TEXT) == TEXT, "run `make docs`"


def test_the_parts_are_in_order() -> None:
    assert re.findall(r"^## (.*)$", TEXT, re.MULTILINE) == [
        "Install",
        "Sixty seconds",
        "Connect your client",
        "Hand it out",
        "Compared with others",
        "What it costs",
        "Quick answers",
        "Documentation",
        "Licence",
    ]


def test_one_sentence_a_picture_and_the_two_commands_come_first() -> None:
    paragraphs = [part for part in TEXT.partition("## Install")[0].split("\n\n") if part]
    assert paragraphs[0] == "# ModelMux"
    assert paragraphs[1].count(".") == 1
    assert paragraphs[2].startswith("![")
    assert re.findall(r"^make (\w+)", paragraphs[3], re.MULTILINE) == ["demo", "test"]


def test_no_environment_of_an_example_hides_the_program() -> None:
    """In a virtual environment that is activated for an example, `modelmux` is no command any more."""
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT.partition("## Sixty seconds")[2], re.DOTALL))
    assert "\npip install " not in commands
    assert "activate" not in commands
    assert "hello/bin/python hello.py" in commands


def test_the_cost_has_the_published_figures() -> None:
    _, rows = published()
    for name, title in ROWS.items():
        assert f"| {title} | {' | '.join(rows[name][2:6])} |" in cost()


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        renew("nothing")
