"""``modelmux explain`` for the dialects that are translated: a Messages body for each model of the route."""

from __future__ import annotations

from collections.abc import Iterable

import click
import msgspec

from modelmux.claude.notices import Notice
from modelmux.claude.prefix import first_difference
from modelmux.claude.prepare import PreparedRequest
from modelmux.cli.explain.calls import show_calls
from modelmux.gateway.explained.translated import Translated
from modelmux.routing.model import Deployment
from modelmux.wire import anthropic
from modelmux.wire.google.vertex import verb


def show(translated: Translated, first: PreparedRequest) -> None:
    """Print the calls for each model, in the order of the route; those of models that get the same body together."""
    show_calls(translated.calls(first), _show_call)


def _show_call(prepared: PreparedRequest, deployments: Iterable[Deployment]) -> None:
    for deployment in deployments:
        click.echo(f"POST {deployment.url}{verb(stream=bool(prepared.body.stream))}")
    for beta in prepared.betas:
        click.echo(f"anthropic-beta: {beta}")
    click.echo(f"\n{msgspec.json.format(anthropic.encode_request(prepared.body), indent=2).decode()}\n")
    click.echo("notices:" if prepared.notices else "notices: none")
    for notice in prepared.notices:
        click.echo(f"  {_notice_line(notice)}")


def _notice_line(notice: Notice) -> str:
    return f"{notice.action} {notice.field}: {notice.reason}"


def compare(first: PreparedRequest, second: PreparedRequest) -> None:
    """Print whether one prompt is a prefix of the other; exits with 1 if not."""
    difference = first_difference(first.body, second.body)
    if difference is None:
        click.echo("\nturn 1 is a prefix of turn 2: caches and thinking signatures remain valid")
    else:
        click.echo(f"\nturn 1 is not a prefix of turn 2: {difference}")
        raise SystemExit(1)
