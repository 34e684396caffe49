"""A reader whose events have the client's keys of renamed properties, so that no encoder has to know of them."""

from __future__ import annotations

from collections.abc import Iterable

from modelmux.claude.reply_keys import PropertyNames, ReplyKeys
from modelmux.errors import GatewayError
from modelmux.providers.base import ReplyReader
from modelmux.wire.anthropic import StreamEvent
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun

Events = list[StreamEvent | TextDeltaRun]


class ClientKeysReader:
    """See ``providers.base.ReplyReader``."""

    __slots__ = ("_keys", "_reader")

    def __init__(self, reader: ReplyReader, names: PropertyNames) -> None:
        self._reader = reader
        self._keys = ReplyKeys(names)

    @property
    def failure(self) -> GatewayError | None:
        return self._reader.failure

    @property
    def empty_events(self) -> int:
        return self._reader.empty_events

    def feed(self, data: bytes) -> Events:
        return self._restored(self._reader.feed(data))

    def close(self) -> Events:
        return self._restored(self._reader.close())

    def _restored(self, events: Iterable[StreamEvent | TextDeltaRun]) -> Events:
        restored: Events = []
        for event in events:
            restored += [event] if isinstance(event, TextDeltaRun) else self._keys.feed(event)
        return restored
