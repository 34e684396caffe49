"""The items of a request before they are translated: raw, with references replaced by what is stored.

A conversation translates to the same bytes whether a client sends its items, references to them, or the id of the
response that ends it: in each case these are the same raw items in the same order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from modelmux.dialects.stored_responses import StoredItem
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.responses_items import ReasoningItem, ReferenceItem, decode_head, decode_item
from modelmux.wire.openai.responses_members import decode_reported
from modelmux.wire.sliced_json import encode_text

#: Items of a conversation. Codex compacts after some hundreds; the limit keeps the work of one request bounded.
MAX_ITEMS: Final = 10_000
#: Of the ids that items get which come without one.
_PREFIXES: Final = {
    "message": "msg",
    "agent_message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "compaction": "cmp",
    "additional_tools": "at",
    "web_search_call": "ws",
}
NOT_STORED_HINT: Final = "Send the whole input, or `store: false` (AI SDK: `providerOptions.openai.store = false`)."


class Entry(Struct, frozen=True):
    """One item.

    :param raw: its JSON; None for reasoning that is referred to and not stored any more.
    :param path: of the item in the request, or the field that refers to it.
    """

    type: str
    path: str
    raw: bytes | None
    id: str | None = None


def read_items(raws: Sequence[bytes], path: str, *, numbered: bool = True) -> list[Entry]:
    """Items as entries.

    :param numbered: whether ``path`` is a field of the request that holds the items.
    :raises InvalidRequest: too many, or one that says neither its type nor its role.
    """
    check_number(len(raws), path)
    return [_read(raw, f"{path}.{index}" if numbered else path) for index, raw in enumerate(raws)]


def check_number(items: int, path: str) -> None:
    """:raises InvalidRequest: more than ``MAX_ITEMS``."""
    if items > MAX_ITEMS:
        raise InvalidRequest(
            f"A conversation has at most {MAX_ITEMS} items.", param=path, hint="Compact it, or begin a new one."
        )


def text_entry(text: str) -> Entry:
    """An input that is one text."""
    # Formatted, because the encoder's own result keeps half as much memory again as it needs.
    raw = b'{"type":"message","role":"user","content":%b}' % bytes(encode_text(text))
    return Entry("message", "input", raw)


def _read(raw: bytes, path: str) -> Entry:
    head = decode_head(raw, path)
    kind = head.type or ("message" if head.role is not None else "item_reference" if head.id is not None else None)
    if kind is None:
        raise InvalidRequest(
            f"Missing required parameter: '{path}.type'.", param=f"{path}.type", code="missing_required_parameter"
        )
    if kind == "item_reference" and not head.id:
        raise InvalidRequest(
            f"Missing required parameter: '{path}.id'.", param=f"{path}.id", code="missing_required_parameter"
        )
    return Entry(kind, path, raw, head.id or None)


def unknown_of_references(entries: Iterable[Entry]) -> list[str]:
    """The paths of members of references that nothing reads."""
    unknown: list[str] = []
    for entry in entries:
        if entry.type == "item_reference":
            assert entry.raw is not None
            decode_reported(ReferenceItem, entry.type, entry.raw, entry.path, unknown)
    return unknown


def needed_ids(entries: Iterable[Entry], *, stores: bool) -> tuple[str, ...]:
    """The ids to look up: those of references, and of reasoning that comes without its content.

    :raises InvalidRequest: a reference, where nothing is stored.
    """
    ids: dict[str, None] = {}
    for entry in entries:
        if entry.type == "item_reference":
            if not stores:
                raise InvalidRequest("Responses are not stored here.", param=entry.path, hint=NOT_STORED_HINT)
            assert entry.id is not None
            ids[entry.id] = None
        elif stores and entry.id is not None and _lacks_content(entry):
            ids[entry.id] = None
    return tuple(ids)


def _lacks_content(entry: Entry) -> bool:
    if entry.type != "reasoning":
        return False
    assert entry.raw is not None
    item: ReasoningItem = decode_item(ReasoningItem, entry.raw, entry.path)
    return not item.encrypted_content


def resolve(entries: Sequence[Entry], by_id: Mapping[str, bytes]) -> list[Entry]:
    """The items with stored ones in the place of references, and with the stored content of reasoning.

    :raises InvalidRequest: a reference to an item that is not stored.
    """
    return [_resolve(entry, by_id) for entry in entries]


def _resolve(entry: Entry, by_id: Mapping[str, bytes]) -> Entry:
    is_reference = entry.type == "item_reference"
    if entry.id is None or not (is_reference or _lacks_content(entry)):
        return entry
    raw = by_id.get(entry.id)
    if raw is None and is_reference:
        if entry.id.startswith("rs_"):
            return replace(entry, type="reasoning", raw=None)
        raise InvalidRequest(f"Item with id '{_shown(entry.id)}' not found.", param=entry.path, hint=NOT_STORED_HINT)
    if raw is None:
        return entry
    stored = _read(raw, entry.path)
    return replace(stored, id=entry.id) if is_reference or stored.type == entry.type else entry


def _shown(id: str) -> str:
    return id[:80]


def unknown_response(response_id: str) -> InvalidRequest:
    """The error for a response that is unknown, or another caller's."""
    return InvalidRequest(
        f"Previous response with id '{_shown(response_id)}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
        hint="It was not stored, was deleted or has expired, or continues such a response. Send the whole conversation "
        "as 'input'.",
    )


def stored_items(entries: Iterable[Entry]) -> tuple[StoredItem, ...]:
    """The items as they are stored: each with the client's id, or one that is a function of its content and of the
    number of equal items before it, so that an item that is sent again is the same."""
    items: list[StoredItem] = []
    equal: Counter[bytes] = Counter()
    taken: set[str] = set()
    for entry in entries:
        if entry.raw is None:
            continue
        id = entry.id
        while id is None or id in taken:
            equal[entry.raw] += 1
            id = _id(entry.type, entry.raw, equal[entry.raw])
        taken.add(id)
        items.append(StoredItem(id, entry.raw))
    return tuple(items)


def _id(kind: str, raw: bytes, number: int) -> str:
    digest = hashlib.sha256(b"%d %b" % (number, raw)).hexdigest()[:32]
    return f"{_PREFIXES.get(kind, 'item')}_{digest}"
