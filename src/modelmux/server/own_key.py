"""Endpoints for the holder of a key: what is left of its limits and budgets, and what it has used. They call no
upstream, and every key may ask them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from modelmux.accounts.usage_params import grouped
from modelmux.dialects.base import Caller
from modelmux.dialects.registry import Surface
from modelmux.errors import InvalidRequest
from modelmux.gateway.metering.own_keys import OwnKeys, no_account
from modelmux.server.asgi import Handler
from modelmux.server.responses import Receive, Scope, Send, send_json

_MOST_PARAMS: Final = 100


def own_key_handler(surface: Surface, keys: OwnKeys | None) -> Handler:
    """:param keys: None without accounts."""

    async def handle(
        scope: Scope, receive: Receive, send: Send, request_id: str, caller: Caller, path_params: Mapping[str, str]
    ) -> None:
        del receive, path_params
        if keys is None:
            raise no_account()
        if surface.operation == "read_key":
            body = await keys.key(caller)
        else:
            body = await keys.usage(caller, grouped(_query(scope)))
        await send_json(
            send, 200, body, [(b"x-request-id", request_id.encode()), (b"cache-control", b"private, no-store")]
        )

    return handle


def _query(scope: Scope) -> list[tuple[str, str]]:
    """:raises InvalidRequest: too many parameters."""
    try:
        return parse_qsl(
            scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_PARAMS
        )
    except ValueError:
        raise InvalidRequest(f"The query has more than {_MOST_PARAMS} parameters.") from None
