"""The ``modelmux`` command and its table of sub-commands."""

from __future__ import annotations

import importlib
from typing import Final

import click

from modelmux.version import __version__

#: Sub-command -> (module of this package, function, one line of help). Modules load when their command runs, so
#: that ``modelmux --version`` answers at once.
_COMMANDS: Final = {
    "serve": ("serve", "serve", "Run the gateway (the default command)."),
    "demo": ("demo", "demo", "Show everything working, offline, without a Google account."),
    "reload": ("reload", "reload", "Let the running gateway read its configuration again."),
    "explain": ("explain", "explain", "Show what would be sent for a request, without calling anything."),
    "emulate": ("emulate", "emulate", "Run an offline Vertex AI for Claude."),
}


class _Commands(click.Group):
    """Loads a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, function, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"modelmux.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a sub-command, ``serve`` is meant."""
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help", "-V", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="modelmux %(version)s")
def main() -> None:
    """An OpenAI-compatible gateway to Claude on Google Cloud Vertex AI."""
