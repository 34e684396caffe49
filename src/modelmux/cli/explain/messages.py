"""``modelmux explain`` for Anthropic Messages: the client's bytes with what the gateway changes in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
import msgspec
from msgspec.structs import replace

from modelmux.catalog import ModelCard
from modelmux.claude.native import NativeRequest, remote_files
from modelmux.dialects.anthropic_messages.request import decode_native
from modelmux.errors import GatewayError
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.native.prepare import prepare_native
from modelmux.routing.model import Deployment, Route
from modelmux.wire.google.vertex import verb


def explain_messages(body: bytes, model: str | None, betas: Iterable[str], find: Callable[[str], Route]) -> None:
    """Print the calls of each model of the route.

    :raises GatewayError: the gateway rejects the request.
    """
    headers = [(b"anthropic-beta", beta.encode()) for beta in betas]
    decoded = decode_native(headers, body, model=model)
    route = find(decoded.model)
    assert decoded.native is not None
    native = _with_placeholders(decoded.native)
    calls: list[tuple[NativePrepared, list[Deployment]]] = [(_prepare(native, route.card, route), [])]
    refusals: list[tuple[ModelCard, GatewayError]] = []
    for card in route.models:
        try:
            prepared = _prepare(native, card, route)
        except GatewayError as error:
            refusals.append((card, error))
            continue
        deployments = [deployment for deployment in route.deployments if deployment.card.id == card.id]
        same = next((group for other, group in calls if other == prepared), None)
        if same is None:
            calls.append((prepared, deployments))
        else:
            same += deployments
    for index, (prepared, deployments) in enumerate(calls):
        if index:
            click.echo()
        _show_call(prepared, deployments, stream=decoded.stream)
    for card, refusal in refusals:
        click.echo(f"\n{card.id} is skipped, because it cannot answer this request: {refusal.message}")


def _prepare(native: NativeRequest, card: ModelCard, route: Route) -> NativePrepared:
    """Other models of a route do not get the thinking of the first."""
    drops = bool if card.id != route.card.id else None
    return prepare_native(native, card, route.options, drops=drops)


def _with_placeholders(native: NativeRequest) -> NativeRequest:
    """Nothing is downloaded: a placeholder says what would be there."""
    files = {}
    for path, file in remote_files(native).items():
        media_type = "image/*" if file.kind == "image" else "application/pdf"
        source = {"type": "base64", "media_type": media_type, "data": f"<fetched from {file.url}>"}
        files[path] = msgspec.json.encode(source)
    return replace(native, files=files)


def _show_call(prepared: NativePrepared, deployments: Iterable[Deployment], *, stream: bool) -> None:
    for deployment in deployments:
        click.echo(f"POST {deployment.url}{verb(stream=stream)}")
    if prepared.betas:
        click.echo(f"anthropic-beta: {','.join(prepared.betas)}")
    click.echo(f"\n{msgspec.json.format(prepared.body, indent=2).decode()}\n")
    click.echo("notices:" if prepared.notices else "notices: none")
    for notice in prepared.notices:
        click.echo(f"  {notice.action} {notice.field}: {notice.reason}")
