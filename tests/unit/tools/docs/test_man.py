"""The manual page has every command and option, and no line that troff would take for one of its own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
import pytest

from modelmux.cli.main import _COMMANDS, main

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.man import escape, render

PAGE = render(main, "1.2.3")
MACROS = {"TH", "SH", "SS", "TP", "PP", "B", "nf", "fi"}


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_and_option_is_on_it(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    commands = [command]
    if isinstance(command, click.Group):
        context = click.Context(command)
        commands = [inner for key in command.list_commands(context) if (inner := command.get_command(context, key))]
        commands += [command] if command.invoke_without_command else []
    for each in commands:
        assert each.hidden or f"\n.SS {escape(name)} " in PAGE
        for option in each.params:
            assert all(escape(text) in PAGE for text in option.opts if text.startswith("--"))


def test_only_known_macros_begin_a_line() -> None:
    assert set(re.findall(r"^[.'](\S*)", PAGE, re.MULTILINE)) <= MACROS
    assert PAGE.startswith('.TH MODELMUX 1 "" "modelmux 1.2.3"')
    assert "\\-h, \\-\\-help" in PAGE


def test_text_is_escaped() -> None:
    assert escape(".profile\n'a' \\n --x \"y\"") == "\\&.profile\n\\&'a' \\en \\-\\-x \\(dqy\\(dq"


def test_lines_that_click_keeps_are_kept() -> None:
    @click.group(context_settings={"help_option_names": ["--help"]})
    def group() -> None:
        """A group."""

    @group.command()
    def one() -> None:
        """Does it.

        \b
        first
        second
        """

    assert ".PP\nDoes it.\n.nf\nfirst\nsecond\n.fi\n" in render(group, "1", "x")
