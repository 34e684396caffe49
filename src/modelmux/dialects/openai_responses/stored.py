"""Stored responses as clients read them: ``GET`` and ``DELETE /responses/{id}``, and the list of input items. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from modelmux.dialects.stored_responses import StoredItem, StoredResponse
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.responses_reply import encode

MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 20
#: Members stay as they were written: a client's own need not be ones that can be decoded, such as ``1e999``.
_object: Final = msgspec.json.Decoder(dict[str, Raw])


def response_body(stored: StoredResponse, *, encrypted: bool) -> bytes:
    """The response object with its output.

    :param encrypted: with the ``encrypted_content`` of its reasoning, which clients have to ask for.
    """
    output = [item.data if encrypted else _without_encrypted(item.data) for item in stored.output]
    return encode({**_object.decode(stored.body), "output": list(map(Raw, output))})


def item_page(
    stored: StoredResponse, history: Sequence[bytes], query: Mapping[str, str], *, encrypted: bool = False
) -> bytes:
    """One page of the items that a response answers, as OpenAI's list object.

    :param history: the conversation before the request, oldest first: ``History.items`` of its ``previous_id``.
    :param query: ``after`` (the id of the item before the page), ``limit`` (1 to 100, 20 if absent), ``order``
        (``asc`` or ``desc``, which is the default).
    :param encrypted: as in ``response_body``.
    :raises InvalidRequest: naming the query parameter that cannot be used.
    """
    items = list(_with_ids(stored, history))
    if _choice(query, "order", ("desc", "asc")) == "desc":
        items.reverse()
    start, limit = _start(items, query.get("after")), _limit(query.get("limit"))
    page = items[start : start + limit]
    return encode(
        {
            "object": "list",
            "data": [_listed(item, encrypted=encrypted) for item in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": start + limit < len(items),
        }
    )


def deleted_body(id: str) -> bytes:
    """The answer to a deletion."""
    return encode({"id": id, "object": "response", "deleted": True})


def _without_encrypted(data: bytes) -> bytes:
    if b'"encrypted_content"' not in data:
        return data
    item = _object.decode(data)
    if item.get("type") != Raw(b'"reasoning"'):
        return data
    item.pop("encrypted_content", None)
    return encode(item)


def _with_ids(stored: StoredResponse, history: Sequence[bytes]) -> Iterator[StoredItem]:
    """All items, each with an id that no other has: else a client that asks for the page after one would get that page
    again. One without an id of its own gets one by its place, which stays."""
    taken = {item.id for item in stored.input}
    for index, data in enumerate(history):
        id = _text(_object.decode(data), "id")
        if not id or id in taken:
            id = f"item_{index}"
        taken.add(id)
        yield StoredItem(id, data)
    yield from stored.input


def _listed(item: StoredItem, *, encrypted: bool) -> dict[str, Any]:
    """An item in the form that clients expect: with its id and type, the content of a message as parts."""
    fields: dict[str, Any] = _object.decode(item.data)
    kind, role = _text(fields, "type") or "message", _text(fields, "role")
    text = fields.get("content")
    fields |= {"id": item.id, "type": kind}
    if kind == "message" and text is not None and bytes(text).startswith(b'"'):
        fields["content"] = [
            {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            if role == "assistant"
            else {"type": "input_text", "text": text}
        ]
    if kind == "reasoning" and not encrypted:
        fields.pop("encrypted_content", None)
    return fields


def _text(fields: Mapping[str, Raw], name: str) -> str | None:
    """A member that is a string."""
    raw = bytes(fields.get(name, b""))
    text: str | None = msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else None
    return text


def _start(items: list[StoredItem], after: str | None) -> int:
    if not after:
        return 0
    for index, item in enumerate(items):
        if item.id == after:
            return index + 1
    raise InvalidRequest("There is no item with this id.", param="after", hint="Use 'last_id' of the page before.")


def _limit(text: str | None) -> int:
    if text is None or text == "":
        return DEFAULT_PAGE
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE)) else 0
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest("Invalid value for 'limit'.", param="limit", hint=f"Use a number from 1 to {MAX_PAGE}.")
    return limit


def _choice(query: Mapping[str, str], name: str, values: Sequence[str]) -> str:
    value = query.get(name) or values[0]
    if value not in values:
        raise InvalidRequest(f"Invalid value for '{name}'.", param=name, hint=f"Use one of {', '.join(values)}.")
    return value
