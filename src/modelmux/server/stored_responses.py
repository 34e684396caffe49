"""Endpoints of stored responses: read one, list its input, delete it. They call no upstream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from modelmux.dialects.base import Caller
from modelmux.dialects.openai_responses.stored import deleted_body, item_page, response_body
from modelmux.dialects.registry import Surface
from modelmux.dialects.stored_responses import HistoryQuery, StoredResponse
from modelmux.errors import InvalidRequest, ResponseNotFound, UpgradeRequired
from modelmux.gateway.stored_responses import unavailable
from modelmux.server.asgi import Handler
from modelmux.server.responses import Receive, Scope, Send, send_json
from modelmux.store.base import ResponseStore, StoreFailed

_ENCRYPTED: Final = "reasoning.encrypted_content"


class StoredResponses:
    """What is stored, for the callers who stored it.

    For everyone else an id does not exist: the error is the same, and so is the work that leads to it.
    """

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def body(self, surface: Surface, owner: str, id: str, query: Sequence[tuple[str, str]]) -> bytes:
        """The response's body.

        :raises ResponseNotFound: :raises InvalidRequest: a query that cannot be used. :raises StoreUnavailable:
        """
        try:
            if surface.operation == "delete_response":
                if not await self._store.delete(owner, id):
                    raise not_found(id)
                return deleted_body(id)
            stored = await self._store.get(owner, id)
            if stored is None:
                raise not_found(id)
            if surface.operation == "list_input_items":
                history = await self._store.history(owner, HistoryQuery(stored.previous_id))
                return item_page(stored, history.items or (), dict(query), encrypted=_ENCRYPTED in _included(query))
        except StoreFailed as error:
            raise unavailable(error) from None
        if surface.operation == "cancel_response":
            raise InvalidRequest(
                "Only a background response can be cancelled, and this one is complete.",
                param="background",
                hint="To stop a response that is being generated, close its connection.",
            )
        return _response(stored, query)


def stored_response_handler(surface: Surface, responses: StoredResponses) -> Handler:
    """An endpoint of one stored response."""

    async def handle(
        scope: Scope, receive: Receive, send: Send, request_id: str, caller: Caller, path_params: Mapping[str, str]
    ) -> None:
        del receive
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        body = await responses.body(surface, caller.owner, path_params["id"], query)
        await send_json(send, 200, body, [(b"x-request-id", request_id.encode())])

    return handle


def websocket_handler(surface: Surface) -> Handler:
    """Refuses the WebSocket mode of the Responses API, so that clients continue with HTTP at once."""

    async def handle(
        scope: Scope, receive: Receive, send: Send, request_id: str, caller: Caller, path_params: Mapping[str, str]
    ) -> None:
        del scope, receive, send, request_id, caller, path_params
        raise UpgradeRequired(
            "This gateway does not serve the Responses API over WebSocket.", hint=f"Use POST {surface.path}."
        )

    return handle


def not_found(id: str) -> ResponseNotFound:
    """The same for an unknown id and for that of another caller."""
    return ResponseNotFound(
        f"Response with id '{id[:80]}' not found.",
        hint="It was not stored, was deleted, or is older than the gateway keeps responses.",
    )


def _response(stored: StoredResponse, query: Sequence[tuple[str, str]]) -> bytes:
    """:raises InvalidRequest: a stream was asked for."""
    names = dict(query)
    if names.get("stream", "false").lower() not in ("false", "0", "") or names.get("starting_after"):
        raise InvalidRequest(
            "A stored response cannot be streamed again.", param="stream", hint="Read it without 'stream'."
        )
    return response_body(stored, encrypted=_ENCRYPTED in _included(query))


def _included(query: Sequence[tuple[str, str]]) -> list[str]:
    """The values of ``include``, which SDKs write as ``include``, ``include[]`` or ``include[0]``."""
    return [value for name, value in query if name.partition("[")[0] == "include"]
