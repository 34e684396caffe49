"""The protocols of the stores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from modelmux.claude.draft import SignedThinking
from modelmux.dialects.stored_responses import History, HistoryQuery, StoredResponse


class ThinkingStore(Protocol):
    """Remembers the thinking blocks that came right before a tool call, for clients that cannot send them back.

    Everything is kept by owner: no caller gets the blocks of another.
    """

    def put(self, owner: str, call_id: str, model: str, blocks: tuple[SignedThinking, ...]) -> None: ...

    def get(self, owner: str, call_id: str, model: str) -> tuple[SignedThinking, ...] | None:
        """None if the call is unknown, too old, or another model made it."""
        ...

    def mark_rejected(self, owner: str, blocks: Iterable[SignedThinking]) -> None:
        """The upstream did not accept a request with these blocks: they are not to be sent again."""
        ...

    def is_rejected(self, owner: str, block: SignedThinking) -> bool:
        """Whether ``mark_rejected`` received this block."""
        ...


class StoreFailed(Exception):
    """A store could not be read or written. The message is for the log."""


class ResponseStore(Protocol):
    """Keeps responses for clients that refer to them by id.

    Everything is kept by owner: for any other caller an id does not exist. Bounded by time, bytes and items; what is
    used stays longer.
    """

    async def put(self, owner: str, response: StoredResponse) -> None:
        """Store a response. It is durable when this returns.

        :raises StoreFailed:
        """
        ...

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """:raises StoreFailed:"""
        ...

    async def history(self, owner: str, query: HistoryQuery) -> History:
        """The conversation up to a response, and items by id.

        :raises StoreFailed:
        """
        ...

    async def delete(self, owner: str, response_id: str) -> bool:
        """Delete a response, at once; whether there was one. Items that other responses hold stay.

        :raises StoreFailed:
        """
        ...

    async def aclose(self) -> None: ...
