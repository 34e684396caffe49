"""``modelmux trace``: the command and its options."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
import msgspec

from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_json, print_lines
from modelmux.cli.sanitize import one_line
from modelmux.cli.trace.prompt_cache import as_json
from modelmux.cli.trace.timeline import explained, listed
from modelmux.config import Config, ConfigError
from modelmux.config.keeps_traces import keeps_traces
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.file_kinds import has_sqlite
from modelmux.store.files import state_directory
from modelmux.store.traces.previous_turn import previous_turn

if TYPE_CHECKING:
    from modelmux.store.traces.record import Trace

_TIMEOUT: Final = 5.0
_TURN_ON: Final = "Set traces.enabled = true in the configuration, and restart the gateway."
_ID_HELP: Final = (
    "The response header x-request-id, an id of the client's own, the reply's, the ledger's or the trace's."
)


@click.command()
@click.argument("request_id", required=False)
@click.option("--last", is_flag=True, help="Explain the latest request.")
@click.option("-n", "--lines", "count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Number of requests that are listed.")  # fmt: skip  # noqa: E501
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
@config_options
def trace(
    request_id: str | None,
    last: bool,
    count: int,
    as_machine: bool,
    config_path: Path | None,
    overrides: dict[str, Any],
) -> None:
    """Explain one request: what came, each attempt with its times and why it ended, tokens, cost, and where the prompt
    stopped being that of the conversation's previous turn.

    REQUEST_ID is the response header x-request-id, the x-request-id that the client sent, the id of the reply as Vertex
    AI has it, or the id of a row of the ledger. Without it, the latest requests are listed.
    """
    if request_id is not None and last:
        raise click.UsageError("an id and --last exclude each other")
    config = read_config(config_path, overrides).config
    traces, previous = _read(config, request_id, 1 if last else count)
    if request_id is None and not last:
        if as_machine:
            print_json([_complete(one.request) for one in traces])
        for line in () if as_machine else listed(traces):
            click.echo(line)
        return
    shown = traces[0]
    if as_machine:
        print_json({"request": _complete(shown.request), "prompt": as_json(shown, previous)})
    else:
        for line in explained(shown, previous, shutil.get_terminal_size().columns):
            click.echo(line)
    if request_id is not None and len(traces) > 1:
        print_lines("note", ["an earlier request has the same id; this is the latest"], "cyan")


def _complete(value: Any) -> Any:
    """With the fields that have their usual value, which are left out where it is stored."""
    if isinstance(value, msgspec.Struct):
        return {name: _complete(getattr(value, name)) for name in value.__struct_fields__}
    return [_complete(item) for item in value] if isinstance(value, tuple) else value


def _read(config: Config, request_id: str | None, count: int) -> tuple[list[Trace], Trace | None]:
    """Records, at least one, and the turn before the first of them."""
    if not has_sqlite():
        exit_with_error(["this Python has no module sqlite3"], "Use a Python with it: it reads the records.")
    from modelmux.store.traces.sqlite_traces import FILE_NAME, TracesFile, earlier, find, latest

    try:
        is_on, directory = keeps_traces(config), state_directory(config.server.state_dir, os.environ)
    except ConfigError as error:
        exit_with_config_error(error)
    except RuntimeError:
        exit_with_error(["there is no home directory"], "Set server.state_dir to that of the gateway.")
    path = directory / FILE_NAME
    if not path.exists():
        _exit_without_file(path, is_on=is_on)
    from modelmux.store.connection_thread import ConnectionThread

    now = round(Runtime().now() * 1_000_000)
    file = ConnectionThread("modelmux-traces", TracesFile(path, creates=False), _TIMEOUT)
    try:
        traces = file.call(
            lambda connection: (
                latest(connection, count, now) if request_id is None else find(connection, request_id, now)
            )
        )
        if not traces:
            _exit_unknown(request_id, is_on=is_on)
        previous = file.call(lambda connection: previous_turn(traces[0], earlier(connection, traces[0])))
    except (StoreFailed, msgspec.DecodeError) as error:
        exit_with_error([str(error)], "Run it as the user of the gateway, who alone can read its records.")
    finally:
        file.disconnect()
    return traces, previous


def _exit_without_file(path: Path, *, is_on: bool) -> NoReturn:
    if not is_on:
        exit_with_error(["no records of requests are kept"], _TURN_ON)
    hint = (
        "It is made with the first request. If the gateway runs as another user or a service, run this as that user, "
        "or pass its directory: --set server.state_dir=…"
    )
    exit_with_error([f"there are no records of requests: {path} does not exist"], hint)


def _exit_unknown(request_id: str | None, *, is_on: bool) -> NoReturn:
    from modelmux.store.traces.sqlite_traces import DAYS, MOST_REQUESTS

    hints = [] if is_on else [f"No records are kept at the moment. {_TURN_ON}"]
    if request_id is None:
        exit_with_error(["there are no records of requests yet"], hints)
    bounds = (
        f"The latest {MOST_REQUESTS:,} requests are kept, for {DAYS} days at most. A request is there a second "
        "after its end. `modelmux trace` lists the latest; the log also has requests without a valid key."
    )
    exit_with_error([f"no request has the id {one_line(request_id)}"], [*hints, bounds])
