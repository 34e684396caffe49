"""``modelmux replay``: the command and its options."""

from __future__ import annotations

import asyncio
import os
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct

from modelmux.cli.connect.client_key import STALE, choose_key
from modelmux.cli.connect.gateway_url import BadUrl, GatewayUrl, configured_url, parse_url
from modelmux.cli.connect.render import KEY_VARIABLE
from modelmux.cli.options import config_options, load_dotenv_into_environment, read_config
from modelmux.cli.outgoing import open_pool
from modelmux.cli.output import exit_with_error, print_json, print_lines, warn
from modelmux.cli.replay.compare import differences, figures, table
from modelmux.cli.replay.request import CannotReplay, ReplayedRequest, replayed
from modelmux.cli.replay.response_text import response_text
from modelmux.cli.sanitize import one_line, strip_controls
from modelmux.cli.trace.records import Records
from modelmux.config import Config
from modelmux.errors import CertificateNotAccepted, GatewayError, UpstreamUnreachable
from modelmux.upstream.base import Upstream
from modelmux.upstream.trust import CLIENT_REMEDY
from modelmux.wire.http import Headers, HttpCall, Origin, Timeouts, find_header

if TYPE_CHECKING:
    from modelmux.store.captures.record import Capture
    from modelmux.store.traces.record import TracedRequest

_TIMEOUTS: Final = Timeouts(connect=5.0, first_byte=600.0, idle=300.0)
_MAX_BODY: Final = 64 * 1024 * 1024
#: How often the record of the replay is looked for, and the seconds between.
_LOOKS: Final = 40
_INTERVAL: Final = 0.25


class Answer(Struct, frozen=True):
    """:param request_id: None if the response does not have one."""

    status: int
    content_type: str
    request_id: str | None
    body: bytes

    @property
    def recorded_as(self) -> str | None:
        """The request id of its record; None where there is none: a request with a wrong key leaves none."""
        return self.request_id if self.status != HTTPStatus.UNAUTHORIZED else None


@click.command()
@click.argument("request_id")
@click.option("-m", "--model", help="Ask for this model instead of the one that the client asked for.")
@click.option("--url", help="URL of a gateway, instead of the configured host and port.")
@click.option("--key-env", metavar="NAME", help=f"Variable that has the key to send it with; by default ${KEY_VARIABLE}, then the configured one.")  # fmt: skip  # noqa: E501
@click.option("--raw", is_flag=True, help="Print the response as it came, instead of its text.")
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
@config_options
def replay(
    request_id: str,
    model: str | None,
    url: str | None,
    key_env: str | None,
    raw: bool,
    as_machine: bool,
    config_path: Path | None,
    overrides: dict[str, Any],
) -> None:
    """Send a captured request again, through a running gateway, and compare tokens and cost. It is charged like any
    other.

    REQUEST_ID is an id that `modelmux trace` takes. Its bodies have to be captured: see capture.enabled.
    """
    load_dotenv_into_environment()
    config = read_config(config_path, overrides).config
    records = Records(config)
    original, capture = _original(records, request_id)
    try:
        request = replayed(capture, model)
    except CannotReplay as error:
        exit_with_error([f"{one_line(original.request_id)} cannot be sent again: {error.problem}"], error.hint)
    address = _address(url, config)
    answer = _send(config, address, _key(key_env, config, is_here=url is None), request)
    after = None if answer.recorded_as is None else _record_of(records, answer.recorded_as)
    _print(original, after, answer, raw=raw, as_machine=as_machine)
    if answer.status >= 400:
        raise SystemExit(1)


def _original(records: Records, id: str) -> tuple[TracedRequest, Capture]:
    request = records.find(id, 1).traces[0].request
    capture = records.capture(request.request_id, request.at) if request.is_captured else None
    if capture is not None:
        return request, capture
    name = one_line(request.request_id)
    if request.is_captured:
        exit_with_error([f"{name} cannot be sent again: {records.missing_capture(request)}"], "Raise capture.days, or the other bounds of [capture].")  # fmt: skip  # noqa: E501
    hint = (
        "Set capture.enabled = true, let its key opt in (modelmux keys edit KEY --capture; capture.without_account for "
        "requests without a virtual key), and send it once more with its client."
    )
    exit_with_error([f"{name} cannot be sent again: its bodies were not captured"], hint)


def _address(url: str | None, config: Config) -> GatewayUrl:
    if url is None:
        return configured_url(config.server)
    try:
        return parse_url(url)
    except BadUrl as error:
        exit_with_error([error.problem], error.hint)


def _key(variable: str | None, config: Config, *, is_here: bool) -> str | None:
    """:param variable: that the caller names. :param is_here: it is the gateway of the configuration."""
    value = os.environ.get(variable or KEY_VARIABLE)
    if variable is not None:
        if not value:
            exit_with_error([f"the variable {variable} is not set"], "Set it to the key to send the request with.")
        return value
    chosen = choose_key(None, value, config, is_here=is_here, exported=bool(value))
    if chosen.is_stale:
        warn([f"{STALE}, so the first of them is used: unset it, or set it to one of them"])
        return None if chosen.accepted is None else chosen.accepted.reveal()
    return None if chosen.key is None else chosen.key.reveal()


def _send(config: Config, address: GatewayUrl, key: str | None, request: ReplayedRequest) -> Answer:
    headers: Headers = [*request.headers, (b"accept", b"*/*"), (b"user-agent", b"modelmux-replay")]
    if key is not None:
        headers.append((b"authorization", b"Bearer " + key.encode()))
    call = HttpCall(
        Origin.parse(address.root), address.prefix + request.path, headers, request.body, _TIMEOUTS, resend=False
    )
    with asyncio.Runner() as runner:
        pool = open_pool(config.tls.ca_file)
        try:
            return runner.run(_answer(pool, call))
        except CertificateNotAccepted as error:
            exit_with_error([f"the certificate of {address.root} was not accepted ({error.detail})"], CLIENT_REMEDY)
        except UpstreamUnreachable as error:
            problem = f"no gateway responds at {address.root} ({error.detail})"
            exit_with_error([problem], "Start it with `modelmux serve`, or name another with --url.")
        except GatewayError as error:
            exit_with_error([one_line(error.message)], error.hint or "`modelmux trace --last` may show why.")
        finally:
            runner.run(pool.aclose())


async def _answer(upstream: Upstream, call: HttpCall) -> Answer:
    reply = await upstream.send(call)
    try:
        body = await reply.read(_MAX_BODY)
    finally:
        await reply.aclose()
    kind, id = find_header(reply.headers, b"content-type") or "", find_header(reply.headers, b"x-request-id")
    return Answer(reply.status, kind, id, body)


def _record_of(records: Records, id: str) -> TracedRequest | None:
    """The record of the replay, which is written a moment after its end; None if it is not on this machine."""
    for _ in range(_LOOKS):
        traces = records.read(id, 1).traces
        if traces:
            return traces[0].request
        time.sleep(_INTERVAL)
    return None


def _print(
    original: TracedRequest, after: TracedRequest | None, answer: Answer, *, raw: bool, as_machine: bool
) -> None:
    text = None if raw else response_text(answer.body, answer.content_type)
    shown = answer.body.decode("utf-8", "replace") if text is None else text
    if as_machine:
        old, new = figures(original), None if after is None else figures(after)
        print_json({
            "request_id": answer.request_id, "status": answer.status, "response": shown, "original": old, "replay": new,
            "differences": None if new is None else differences(old, new),
        })  # fmt: skip
        return
    click.echo(strip_controls(shown))
    if after is not None:
        click.echo()
        for line in table(original, after):
            click.echo(one_line(line))
    elif answer.recorded_as is not None:
        note = "its record is not on this machine, so its tokens and cost are not compared here"
        print_lines("note", [note], "cyan")
    print_lines("replayed", [f"{one_line(original.request_id)} as {one_line(answer.request_id or '-')}"], "green")
