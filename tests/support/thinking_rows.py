"""A store of thinking that nodes share, in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from modelmux.store.base import StoreFailed


class FakeThinkingRows:
    """See ``ThinkingRows``.

    :ivar fails: whether calls fail. :ivar hides: whether those that read do.
    :ivar finds: what was looked for. :ivar batches: how many rows came at once.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.fails = self.hides = False
        self.finds: list[list[bytes]] = []
        self.batches: list[int] = []

    def check(self) -> None:
        self._check()

    async def add(self, rows: Sequence[tuple[bytes, bytes, float]]) -> None:
        self._check()
        self.batches.append(len(rows))
        self.rows |= {key: sealed for key, sealed, _ in rows}

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self._check()
        if self.hides:
            raise StoreFailed("db: may not read")
        self.finds.append(list(keys))
        return {key: self.rows[key] for key in keys if key in self.rows}

    async def aclose(self) -> None:
        pass

    def _check(self) -> None:
        if self.fails:
            raise StoreFailed("db: away")
