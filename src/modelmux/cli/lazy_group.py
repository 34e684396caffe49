"""Groups of commands whose modules are imported when they run, so that ``modelmux --version`` is fast; and what all
groups say of an unknown command, or of options before the command that they belong to.

Not in this module: commands, heavy imports.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

#: Command -> (module of this package, function, one line of help).
Table = Mapping[str, tuple[str, str, str]]


class MisplacedOption(click.UsageError):
    """Options before the command that they belong to.

    :param corrected: the command with the names of the options behind it.
    """

    def __init__(self, message: str, corrected: str) -> None:
        super().__init__(message)
        self.corrected = corrected


class CommandGroup(click.Group):
    """A group that says what was probably meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption:
            position = self.find_command(ctx, given)
            if position is None:
                raise
            self.fail_at_early_options(ctx, given, position)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not ctx.resilient_parsing and not name.startswith("-"):
            matches = difflib.get_close_matches(name, names, n=1)
            suggestion = f": did you mean `{ctx.command_path} {matches[0]}`?" if matches else ""
            ctx.fail(f"unknown command {name!r}{suggestion}")
        return super().resolve_command(ctx, args)

    def find_command(self, ctx: click.Context, arguments: list[str]) -> int | None:
        """The position of the first argument that is the name of a command."""
        names = self.list_commands(ctx)
        return next((index for index, word in enumerate(arguments) if word in names), None)

    def fail_at_early_options(self, ctx: click.Context, arguments: list[str], position: int) -> NoReturn:
        """Fail because options of a command come before it: with the right order, unless it does not have them. Values
        are not repeated: one may be a key.

        :param position: of the command.
        """
        options, (name, *rest) = arguments[:position], arguments[position:]
        command, path = self.get_command(ctx, name), f"{ctx.command_path} {name}"
        if isinstance(command, click.Group) and rest and rest[0] in command.list_commands(ctx):
            name, *rest = rest
            command, path = command.get_command(ctx, name), f"{path} {name}"
        assert command is not None, "its group lists it"
        with click.Context(command, info_name=path) as inner:
            command.make_parser(inner).parse_args([*options, *rest])
            *_, order = command.make_parser(inner).parse_args(list(options))
        early = dict.fromkeys(option for option in order if isinstance(option, click.Option))
        names = {_spelling(option, options): "" if option.is_flag else " …" for option in early}
        raise MisplacedOption(
            f"`{' '.join(names)}` comes before the command",
            f"{path} {' '.join(name + value for name, value in names.items())}",
        )


def _spelling(option: click.Option, words: Sequence[str]) -> str:
    """The long name of an option that was used, such as ``--user`` of ``--system/--user``."""
    names = sorted((*option.opts, *option.secondary_opts), key=len, reverse=True)
    used = {word.partition("=")[0] for word in words}
    return next((name for name in names if name in used), max(option.opts, key=len))


class LazyGroup(CommandGroup):
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self._table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names from the table: completion imports no module."""
        commands = [CompletionItem(n, help=text) for n, (_, _, text) in self._table.items() if n.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]
