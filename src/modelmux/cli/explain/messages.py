"""``modelmux explain`` for Anthropic Messages: the client's bytes with what the gateway changes in them."""

from __future__ import annotations

from collections.abc import Iterable

import click
import msgspec

from modelmux.cli.explain.calls import show_calls
from modelmux.gateway.explained.native import Explained
from modelmux.providers.base import NativePrepared
from modelmux.routing.model import Deployment
from modelmux.wire.google.vertex import verb


def show_native(explained: Explained) -> None:
    """Print the calls of each model of the route."""
    show_calls(
        explained.calls, lambda prepared, deployments: _show_call(prepared, deployments, stream=explained.stream)
    )


def _show_call(prepared: NativePrepared, deployments: Iterable[Deployment], *, stream: bool) -> None:
    for deployment in deployments:
        click.echo(f"POST {deployment.url}{verb(stream=stream)}")
    if prepared.betas:
        click.echo(f"anthropic-beta: {','.join(prepared.betas)}")
    click.echo(f"\n{msgspec.json.format(prepared.body, indent=2).decode()}\n")
    click.echo("notices:" if prepared.notices else "notices: none")
    for notice in prepared.notices:
        click.echo(f"  {notice.action} {notice.field}: {notice.reason}")
