"""A large list of a request as structs, in slices: one call for all of it holds the event loop until it returns.

See ``wire/sliced_json.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from modelmux.wire.sliced_json import decode_items, decode_sliced

#: Items and parts that one call converts: some 0.2 ms.
GROUP: Final = 1_000


class SlicedList:
    """The messages or tools of requests.

    :param item: the type of an item.
    :param part: of the members of an item's ``content``, where that is a list.
    """

    def __init__(self, item: Any, part: Any = None) -> None:
        self._item = item
        self._items = list[item]
        self._parts = list[part]
        self._decode = msgspec.json.Decoder(list[item]).decode

    def decode(self, items: list[Raw]) -> list[Any]:
        """:raises msgspec.DecodeError, UnicodeDecodeError, RecursionError: not always with the place."""
        return decode_items(items, self._decode, self._decode_long)

    def _decode_long(self, item: memoryview) -> Any:
        return self.convert([decode_sliced(item)])[0]

    def convert(self, values: list[Any]) -> list[Any]:
        """The same for a decoded list.

        :raises msgspec.ValidationError: which does not name the item.
        """
        converted: list[Any] = []
        for group in _groups(values):
            content = _content(group[0])
            if len(content) < GROUP:
                converted += msgspec.convert(group, self._items)
                continue
            item = msgspec.convert({**group[0], "content": []}, self._item)
            for begin in range(0, len(content), GROUP):
                item.content += msgspec.convert(content[begin : begin + GROUP], self._parts)
            converted.append(item)
        return converted


def _groups(values: list[Any]) -> Iterator[list[Any]]:
    """The items in lists that have at most ``GROUP`` items and parts, or one item."""
    begin, weight = 0, 0
    for index, value in enumerate(values):
        own = 1 + len(_content(value))
        if index > begin and weight + own > GROUP:
            yield values[begin:index]
            begin, weight = index, 0
        weight += own
    if values:
        yield values[begin:]


def _content(value: Any) -> list[Any]:
    content = value.get("content") if isinstance(value, dict) else None
    return content if isinstance(content, list) else []
