"""The protocols of the stores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from modelmux.claude.draft import SignedThinking


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
