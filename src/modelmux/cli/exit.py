"""How a command exits: whatever goes wrong becomes ``error:`` and ``hint:`` lines and an exit code.

0 success, 1 failure, 2 wrong usage, 130 interrupted. Only ``--debug`` and ``MODELMUX_DEBUG=1`` show tracebacks.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import click

from modelmux.cli.lazy_group import MisplacedOption
from modelmux.cli.output import exit_with_error

USAGE: Final = 2
INTERRUPTED: Final = 130


def wants_debug(arguments: list[str], environment: Mapping[str, str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug``, which may be anywhere before ``--``; and whether to show tracebacks."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    others = [a for a in arguments[:end] if a != "--debug"]
    return [*others, *arguments[end:]], len(others) < end or environment.get("MODELMUX_DEBUG", "") not in ("", "0")


def open_closed_streams() -> None:
    """Open the null device as each standard stream that was closed at the start: a file or a connection would get its
    descriptor, and other programs' output with it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # in this order: the lowest free descriptor is used
            stream = open(os.devnull, mode)  # noqa: PTH123, SIM115 - open as long as the process
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def run_and_exit(command: Callable[[], Any], *, debug: bool) -> NoReturn:
    """Run a command, and exit."""
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
        exit_with_error([_unexpected(error)], _remedy(error))
    raise SystemExit(code if isinstance(code, int) else 0)


def _wrong_usage(error: click.UsageError) -> NoReturn:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        raise SystemExit(USAGE)
    message = " ".join(error.format_message().split()).removesuffix(".")  # click lists choices on lines of their own
    exit_with_error([message[:1].lower() + message[1:]], _usage_remedy(error), code=USAGE)


def _usage_remedy(error: click.UsageError) -> str:
    if isinstance(error, MisplacedOption):
        return f"Options follow the command: {error.corrected}"
    if error.ctx is None:
        return "`modelmux --help` lists the commands, `modelmux COMMAND --help` the options of one."
    what = "commands and options" if isinstance(error.ctx.command, click.Group) else "its arguments and options"
    return f"`{error.ctx.command_path} --help` lists {what}."


def _unexpected(error: Exception) -> str:
    """An exception in words. Only those of the operating system are quoted: others may contain part of a request or a
    key."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"internal error ({type(error).__name__})"


def _remedy(error: Exception) -> str:
    if isinstance(error, PermissionError) and error.filename:
        return "Run it as a user who may use this path, or set HOME to a directory of yours."
    return "Run it again with --debug for a traceback, and please report it."


def _silence_stdout() -> None:
    """Redirect stdout, so that the flush at exit does not write to the closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
