"""Items that a client sends again after the response that it continues has brought them.

Strands Agents names the last response of a tool loop and also sends the turn so far: the question, the calls and their
results. Every call would be there twice, the first time without a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from modelmux.dialects.openai_responses.entries import Entry
from modelmux.wire.openai.responses_items import decode_any


class _Item(Struct, frozen=True):
    """What is compared of an item.

    :param index: of the item among all.
    :param key: what makes it the same item, unless it says by its ``id`` that it is another.
    """

    index: int
    key: tuple[str, Any]
    id: str | None

    def repeats(self, known: _Item) -> bool:
        return self.key == known.key and self.id in (None, known.id)


def without_repeated(before: Sequence[Entry], entries: list[Entry]) -> list[Entry]:
    """The items of a request without the first ones, if those repeat the last ones of the history.

    Only what the client's side wrote and the model's calls are compared, because clients do not repeat all of the
    rest; and only if a call is among them, because a person may say the same thing twice.
    """
    if not any(_is_call(entry) for entry in entries):
        return entries
    known = _compared(before)
    last_call = max((index for index, item in enumerate(known) if item.key[0] == "call"), default=None)
    if last_call is None:
        return entries
    sent = _compared(entries)
    again = next((index for index, item in enumerate(sent) if item.repeats(known[last_call])), None)
    if again is None:
        return entries
    count = again + len(known) - last_call
    first, last = sent[:count], known[-count:]
    if len(first) != len(last) or not all(map(_Item.repeats, first, last)):
        return entries
    return entries[first[-1].index + 1 :]


def _is_call(entry: Entry) -> bool:
    return entry.type.endswith("_call")


def _compared(entries: Sequence[Entry]) -> list[_Item]:
    items: list[_Item] = []
    for index, entry in enumerate(entries):
        if entry.raw is None:
            continue
        item = decode_any(entry.raw, entry.path)
        if _is_call(entry):
            key = ("call", item.get("call_id"))
        elif entry.type.endswith("_call_output"):
            key = ("result", item.get("call_id"))
        elif entry.type == "message" and item.get("role") != "assistant":
            key = (str(item.get("role")), _content(item.get("content")))
        else:
            continue
        items.append(_Item(index, key, entry.id))
    return items


def _content(content: Any) -> Any:
    """Content in one form: one text may also be a list of one part."""
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content
