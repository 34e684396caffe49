"""Which of the client's content parts each block was made of, while a request is translated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

B = TypeVar("B")


class PartPaths:
    """Blocks, and the path of the client's part or message that each is.

    By identity: equal blocks may be of different parts. The blocks are kept, so that no other one gets the id of one.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, str]] = {}

    def add(self, block: B, path: str) -> B:
        """Remember a block that was made of the part at ``path``; the block itself."""
        self._known[id(block)] = block, path
        return block

    def of(self, block: Any, default: str) -> str:
        """The path of a block."""
        known = self._known.get(id(block))
        return default if known is None else known[1]

    def copied(self, before: Sequence[Any], after: Sequence[Any], default: str) -> None:
        """Some blocks of a list were replaced by copies."""
        for old, new in zip(before, after, strict=False):
            if new is not old:
                self.add(new, self.of(old, default))


def system_origins(system: Sequence[Any], parts: PartPaths, default: str) -> list[tuple[Any, str]]:
    """Origins of the blocks of the system prompt, which have their index in the place of the block.

    :param default: the path of a block that is not a part's.
    """
    return [(("system", index), parts.of(block, default)) for index, block in enumerate(system)]
