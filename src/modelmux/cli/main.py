"""The ``modelmux`` program and its table of commands."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final

import click

from modelmux.cli.exit import open_closed_streams, run_and_exit, wants_debug
from modelmux.cli.lazy_group import LazyGroup
from modelmux.cli.output import colours
from modelmux.process.user_signals import handle_user_signals
from modelmux.version import __version__

#: Command -> (module of this package, function, one line of help). A module is imported when its command runs, so that
#: ``modelmux --version`` is fast.
_COMMANDS: Final = {
    "serve": ("serve", "serve", "Run the gateway (the default command)."),
    "demo": ("demo.command", "demo", "Show what the gateway does, offline, without a Google account."),
    "config": ("config.command", "config", "Create, show, check and edit the configuration."),
    "connect": ("connect.command", "connect", "Print what to set in a client, write it, and check it."),
    "codex-catalog": ("codex.command", "command", "Print the model catalogue that Codex reads."),
    "models": ("models", "models", "List the models that are served, and their capabilities."),
    "reload": ("reload", "reload", "Reload the configuration of the running gateway."),
    "service": ("service.command", "service", "Run the gateway as a systemd or launchd service."),
    "doctor": ("doctor.command", "doctor", "Check the configuration and everything it depends on."),
    "validate": ("validate", "validate", "Deprecated name of doctor."),
    "chat": ("chat.command", "chat", "Talk to a model through the gateway, from the terminal."),
    "logs": ("logs.command", "logs", "Show the log files, and print or follow their last lines."),
    "trace": ("trace.command", "trace", "Explain one request: attempts, times, prompt cache."),
    "replay": ("replay.command", "replay", "Send a captured request again, and compare tokens and cost."),
    "usage": ("usage.command", "usage", "Show what was used and what it cost; export and check the ledger."),
    "ledger": ("ledger.command", "ledger", "List and show rows of the ledger, and resolve those in doubt."),
    "keys": ("accounts.keys", "keys", "Create, list, edit, rotate and revoke virtual keys."),
    "teams": ("accounts.teams", "teams", "Create, list and edit teams, and say who is in them."),
    "people": ("accounts.people", "people", "Create, list and edit people."),
    "budget": ("accounts.budgets", "budget", "Set, list, show, raise, enable and disable budgets."),
    "limits": ("accounts.limits", "limits", "Set, list, enable and disable rate limits."),
    "webhooks": ("webhooks.command", "webhooks", "Create, list, test and delete webhooks, and show what they got."),
    "accounts": ("accounts.command", "accounts", "Apply a configuration, import, back up, and show who changed what."),
    "dashboard": ("dashboard", "dashboard", "Print a link that signs in to the dashboard."),
    "explain": ("explain.command", "explain", "Show what would be sent for a request, without sending it."),
    "emulate": ("emulate", "emulate", "Run an offline Vertex AI for Claude."),
    "version": ("version", "version", "Show versions and the configuration files in use."),
    "completion": ("completion", "completion", "Print the completion script for your shell."),
}


_OWN_OPTIONS: Final = ("-h", "--help", "-V", "--version")


class _Main(LazyGroup):
    """The program: ``serve`` is the default command, and every command exits the same way."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``serve`` where no command is named."""
        ctx.color = colours()
        has_command = args and (args[0] in _OWN_OPTIONS or not args[0].startswith("-"))
        if not has_command and not ctx.resilient_parsing:
            if "--" not in args:
                self._reject_early_options(ctx, args)
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def _reject_early_options(self, ctx: click.Context, args: list[str]) -> None:
        """Fail if a command is named after options. A value of an option of ``serve`` is not a command, whatever it
        is: a file of the configuration may be called ``logs``."""
        serve = self.get_command(ctx, "serve")
        assert serve is not None
        with click.Context(serve, ignore_unknown_options=True, allow_interspersed_args=False) as inner:
            try:
                _, left, _ = serve.make_parser(inner).parse_args(list(args))
            except click.UsageError:
                return  # `serve` says what is wrong
        found = self.find_command(ctx, left)
        if found is None and left and not left[0].startswith("-"):
            self.resolve_command(ctx, left)
        if found is not None:  # parsing ended at the first argument that is neither an option nor a value
            self.fail_at_early_options(ctx, args, len(args) - len(left) + found)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        open_closed_streams()
        if threading.current_thread() is threading.main_thread():
            handle_user_signals(_do_nothing)  # before a command is imported, which takes a while
        arguments, debug = wants_debug(list(sys.argv[1:] if args is None else args), os.environ)
        run = super().main
        run_and_exit(
            lambda: run(arguments, prog_name or "modelmux", complete_var, standalone_mode=False, **extra), debug=debug
        )


def _do_nothing() -> None:
    """There are no log files yet."""


@click.group(cls=_Main, table=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="modelmux %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks; may be anywhere on the line.")
def main() -> None:
    """A gateway to Claude on Google Cloud Vertex AI, for OpenAI and Anthropic clients.

    The options of a command follow it: modelmux chat --model NAME. Without a command, the gateway is run.
    """
