"""How a command ends: whatever goes wrong becomes ``error:`` and ``hint:`` lines and an exit code.

0 good, 1 a problem, 2 wrong usage, 130 interrupted. A traceback is shown with ``--debug`` or ``MODELMUX_DEBUG=1`` only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import click

from modelmux.cli.output import exit_with_error

USAGE: Final = 2
INTERRUPTED: Final = 130


def wants_debug(arguments: list[str], environment: Mapping[str, str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug``, wherever it stands before ``--``; and whether tracebacks are wanted."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given = [a for a in arguments[:end] if a != "--debug"]
    return [*given, *arguments[end:]], len(given) < end or environment.get("MODELMUX_DEBUG", "") not in ("", "0")


def run_and_exit(command: Callable[[], Any], *, debug: bool) -> NoReturn:
    """Run a command, and end the program."""
    try:
        code = command()
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(INTERRUPTED) from None
    except click.UsageError as error:
        _wrong_usage(error)
    except click.ClickException as error:
        exit_with_error([error.format_message()])
    except BrokenPipeError:
        _silence_stdout()
        raise SystemExit(1) from None
    except Exception as error:
        if debug:
            raise
        exit_with_error(
            [_unexpected(error)], "Run it again with --debug to see where, and report it if it is no doing of yours."
        )
    raise SystemExit(code if isinstance(code, int) else 0)


def _wrong_usage(error: click.UsageError) -> NoReturn:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        raise SystemExit(USAGE)
    message = error.format_message().removesuffix(".")
    exit_with_error([message[:1].lower() + message[1:]], f"`{error.ctx.command_path} --help` lists what there is."
         if error.ctx else None, code=USAGE)  # fmt: skip


def _unexpected(error: Exception) -> str:
    """An exception in words. Only the system's own are quoted: others may hold a part of a request or a key."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"something went wrong that should not ({type(error).__name__})"


def _silence_stdout() -> None:
    """Let nothing be written at the end of the program to a pipe nobody reads."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
