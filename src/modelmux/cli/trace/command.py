"""``modelmux trace``: the command and its options."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import print_json, print_lines
from modelmux.cli.trace.records import Records
from modelmux.cli.trace.timeline import explained, listed

if TYPE_CHECKING:
    from modelmux.store.traces.record import Trace


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
    stopped being that of the conversation's previous turn. If its bodies were captured, they are shown as well.

    REQUEST_ID is the response header x-request-id, the x-request-id that the client sent, the id of the reply as Vertex
    AI has it, or the id of a row of the ledger. Without it, the latest requests are listed.
    """
    if request_id is not None and last:
        raise click.UsageError("an id and --last exclude each other")
    records = Records(read_config(config_path, overrides).config)
    found = records.find(request_id, 1 if last else count)
    if request_id is None and not last:
        _print_list(found.traces, as_machine=as_machine)
        return
    _print_one(records, found.traces[0], found.previous, as_machine=as_machine)
    if request_id is not None and len(found.traces) > 1:
        print_lines("note", ["an earlier request has the same id; this is the latest"], "cyan")


def _print_list(traces: list[Trace], *, as_machine: bool) -> None:
    from modelmux.store.traces.record import plain_record

    if as_machine:
        print_json([plain_record(one.request) for one in traces])
    for line in () if as_machine else listed(traces):
        click.echo(line)


def _print_one(records: Records, trace: Trace, previous: Trace | None, *, as_machine: bool) -> None:
    from modelmux.cli.trace.bodies import bodies
    from modelmux.store.captures.views import capture_view
    from modelmux.store.traces.prompt_cache import as_json
    from modelmux.store.traces.record import plain_record

    request = trace.request
    capture = records.capture(request.request_id, request.at) if request.is_captured else None
    view = None if capture is None else capture_view(capture)
    if as_machine:
        shown = {"request": plain_record(request), "prompt": as_json(trace, previous)}
        print_json(shown | {"bodies": None if view is None else msgspec.to_builtins(view)})
        return
    for line in explained(trace, previous, shutil.get_terminal_size().columns):
        click.echo(line)
    for line in () if view is None else bodies(view):
        click.echo(line)
    if request.is_captured and view is None:
        print_lines("note", [records.missing_capture(request)], "cyan")
