"""``modelmux explain`` for Anthropic Messages: the client's bytes with what the gateway changes in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
import msgspec
from msgspec.structs import replace

from modelmux.catalog import ModelCard
from modelmux.claude.native import NativeRequest, remote_files
from modelmux.claude.notices import reject_notices
from modelmux.cli.explain.calls import show_calls
from modelmux.dialects.anthropic_messages.request import decode_native
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.native.prepare import prepare_native
from modelmux.routing.model import Deployment, Route
from modelmux.wire.google.vertex import verb


def explain_messages(
    body: bytes, model: str | None, betas: Iterable[str], find: Callable[[str], Route], *, strict: bool
) -> None:
    """Print the calls of each model of the route.

    :param strict: reject the request where it would be changed.

    :raises GatewayError: the gateway rejects the request.
    """
    headers = [(b"anthropic-beta", beta.encode()) for beta in betas]
    decoded = decode_native(headers, body, model=model)
    route = find(decoded.model)
    assert decoded.native is not None
    native = _with_placeholders(decoded.native)
    show_calls(
        route,
        _prepare(native, route.card, route, strict=strict),
        lambda card: _prepare(native, card, route, strict=strict),
        lambda prepared, deployments: _show_call(prepared, deployments, stream=decoded.stream),
        key=lambda prepared: prepared,
    )


def _prepare(native: NativeRequest, card: ModelCard, route: Route, *, strict: bool) -> NativePrepared:
    """Other models of a route do not get the thinking of the first."""
    drops = bool if card.id != route.card.id else None
    prepared = prepare_native(native, card, route.options, drops=drops)
    if strict:
        reject_notices(prepared.notices)
    return prepared


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
