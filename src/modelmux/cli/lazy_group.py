"""Groups of commands whose modules are imported when they run, so that ``modelmux --version`` is fast.

Not in this module: commands, heavy imports.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

#: Command -> (module of this package, function, one line of help).
Table = Mapping[str, tuple[str, str, str]]


class LazyGroup(click.Group):
    """A group defined by a table. (Unused arguments belong to click's signatures.)"""

    def __init__(self, *args: Any, table: Table, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._table:
            return None
        module, function, _ = self._table[cmd_name]
        command = getattr(importlib.import_module(f"modelmux.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._table and not ctx.resilient_parsing and not name.startswith("-"):
            matches = difflib.get_close_matches(name, self._table, n=1)
            suggestion = f": did you mean `{ctx.command_path} {matches[0]}`?" if matches else ""
            ctx.fail(f"unknown command {name!r}{suggestion}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self._table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names from the table: completion imports no module."""
        commands = [CompletionItem(n, help=text) for n, (_, _, text) in self._table.items() if n.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]
