"""Replies kept for requests that come again byte for byte, so that the emulator can stand behind a benchmark.

A reply is a function of its request but for the ids, so it is kept with a placeholder where the ids have their random
part. Only requests whose reply depends on nothing else are kept (no cache marks, no directives, no scenario, no quota,
no pacing). At most ``_MAX`` are.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from modelmux.emulator.exchange import Exchange
from modelmux.emulator.settings import EmulatorSettings

#: Stands for the nonce of a kept reply. None of these characters occurs in a real one.
PLACEHOLDER: Final = "0OIl" * 5
_BYTES: Final = PLACEHOLDER.encode()
_MAX: Final = 256
_MAX_BODY: Final = 64 * 1024

Key = tuple[str, str, bytes]


class Kept(NamedTuple):
    """A whole reply body with the placeholder in it; ``events`` is 0 for a unary one."""

    body: bytes
    events: int
    input_tokens: int
    output_tokens: int

    def filled(self, nonce: str) -> bytes:
        return self.body.replace(_BYTES, nonce.encode())


class Shortcuts:
    """The kept replies of one emulator."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self._on = not (settings.tokens_per_second or settings.scenario or settings.requests_per_minute)
        self._kept: OrderedDict[Key, Kept] = OrderedDict()

    def clear(self) -> None:
        self._kept.clear()

    def key(self, exchange: Exchange) -> Key | None:
        """The key of a request whose reply may be kept, or None."""
        body = exchange.body
        if not self._on or len(body) > _MAX_BODY or b'"cache_control"' in body or b"[[" in body or _BYTES in body:
            return None
        return exchange.path, exchange.header(b"anthropic-beta"), body

    def find(self, key: Key) -> Kept | None:
        return self._kept.get(key)

    def keep(self, key: Key, reply: Kept) -> None:
        self._kept[key] = reply
        if len(self._kept) > _MAX:
            self._kept.popitem(last=False)
