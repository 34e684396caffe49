"""A request of Anthropic Messages as each model gets it: the client's bytes with what the gateway changes in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from modelmux.catalog import ModelCard
from modelmux.claude.native import NativeRequest, remote_files
from modelmux.claude.notices import reject_notices
from modelmux.dialects.anthropic_messages.request import decode_native
from modelmux.gateway.explained.calls import Calls, calls_of
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.native.prepare import prepare_native
from modelmux.routing.model import Route


class Explained(Struct, frozen=True):
    """:param stream: whether the client asks for a stream."""

    calls: Calls[NativePrepared]
    stream: bool


def explain_native(
    body: bytes, model: str | None, betas: Iterable[str], find: Callable[[str], Route], *, strict: bool
) -> Explained:
    """The calls of each model of the route.

    :param strict: reject the request where it would be changed.

    :raises GatewayError: the gateway rejects the request.
    """
    headers = [(b"anthropic-beta", beta.encode()) for beta in betas]
    decoded = decode_native(headers, body, model=model)
    route = find(decoded.model)
    assert decoded.native is not None
    native = _with_placeholders(decoded.native)
    calls = calls_of(
        route,
        _prepare(native, route.card, route, strict=strict),
        lambda card: _prepare(native, card, route, strict=strict),
        key=lambda prepared: prepared,
    )
    return Explained(calls, decoded.stream)


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
