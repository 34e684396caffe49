"""Thinking that several nodes remember together: in the memory of each process, and behind it in a store of all.

Requests read and write the memory. What a reply adds is written to the store in the background. Only what the memory
lacks is looked for in the store, once, for a short time: that happens when a conversation comes from another node.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Literal, Protocol

import msgspec
from msgspec import Struct

from modelmux.claude.draft import SignedThinking
from modelmux.dialects.sealer import Sealer
from modelmux.store.base import StoreFailed
from modelmux.store.memory import MAX_AGE_SECONDS, MemoryThinkingStore, size_of
from modelmux.store.row_sealer import NotOpened, RowSealer, row_key
from modelmux.store.waiting_rows import Batch, WaitingRow, WaitingRows
from modelmux.wire.anthropic import RedactedThinkingBlock, ThinkingBlock

#: Calls that are looked for at once; a history with more has lost the thinking before them.
MAX_FETCHED: Final = 256
#: Largest row: a reply with more thinking is remembered by its own node only.
MAX_ROW_BYTES: Final = 1024 * 1024
#: What is larger in memory cannot be one: a character takes at most so many times what it takes in a row.
_MAX_IN_MEMORY: Final = 4 * MAX_ROW_BYTES
#: Seconds after which a call that was unknown is looked for once more: its row may have been on its way.
LOOK_AGAIN: Final = 10.0
#: Seconds after a failed batch until the next attempt.
PAUSE: Final = 1.0
#: Seconds that closing waits for what is not yet written.
CLOSE_TIMEOUT: Final = 2.0
_MAX_ABSENT: Final = 20_000
_ALONE: Final = "thinking is remembered by each node alone"
#: What may fail while the other works.
_Part = Literal["write", "read"]


class ThinkingRows(Protocol):
    """The store of all nodes. It knows neither owners nor calls, and cannot read what it keeps."""

    def check(self) -> None:
        """Whether it can be used: for a start, before workers are forked. :raises StoreFailed:"""
        ...

    async def add(self, rows: Sequence[tuple[bytes, bytes, float]]) -> None:
        """Write rows, in place of those with the same key.

        :param rows: key, sealed content, and the Unix seconds at which it expires; each key once.
        :raises StoreFailed:
        """
        ...

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The sealed content of the keys that are known. Ends soon. :raises StoreFailed:"""
        ...

    async def aclose(self) -> None: ...


class _Remembered(Struct, frozen=True, array_like=True):
    """One call's row. Texts are bytes: those of a model may be no text.

    :param blocks: thinking and signature of each; of one that is redacted, its data alone.
    """

    model: bytes
    blocks: tuple[tuple[bytes, ...], ...]


class _Absent(Struct):
    """A call that was looked for in vain. :param until: monotonic seconds; it is not looked for before."""

    until: float


class SharedThinkingStore:
    """A ``ThinkingStore``, used in one event loop; large requests ask its memory in a thread.

    :param sealer: of ``server.seal_keys``, the same on all nodes.
    :param clock: monotonic seconds. :param now: Unix seconds.
    :param on_problem: called with a sentence when rows cannot be written or read, once, and with None when both works
        again. Rows that this node's keys do not open are told of once in the time that rows live.
    """

    is_shared: Final = True

    def __init__(
        self,
        memory: MemoryThinkingStore,
        rows: ThinkingRows,
        sealer: Sealer,
        clock: Callable[[], float],
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        on_problem: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._memory = memory
        self._rows = rows
        self._sealer = RowSealer(sealer, b"remembered thinking")
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._on_problem = on_problem
        self._failing: set[_Part] = set()
        self._keys_logged_until = -math.inf
        self._absent: OrderedDict[bytes, _Absent] = OrderedDict()  # by the key of its row: clients choose ids
        self._waiting = WaitingRows()
        self._writing: asyncio.Task[None] | None = None
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Rows that were not written."""
        return self._dropped + self._waiting.dropped

    def check(self) -> None:
        """Say at a start that the rows cannot be used; they are tried again."""
        try:
            self._rows.check()
        except StoreFailed as error:
            self._fails("write", error)

    def put(self, owner: str, call_id: str, model: str, blocks: tuple[SignedThinking, ...]) -> None:
        """See ``ThinkingStore.put``."""
        self._memory.put(owner, call_id, model, blocks)
        size = sum(map(size_of, blocks))
        if self._closed or size > _MAX_IN_MEMORY:
            return
        row = WaitingRow(model, blocks, self._now() + MAX_AGE_SECONDS, size)
        self._waiting.put(_key(owner, call_id), row)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def get(self, owner: str, call_id: str, model: str) -> tuple[SignedThinking, ...] | None:
        """See ``ThinkingStore.get``."""
        return self._memory.get(owner, call_id, model)

    def mark_rejected(self, owner: str, blocks: Iterable[SignedThinking]) -> None:
        """See ``ThinkingStore.mark_rejected``. Another node finds out by itself, with one attempt."""
        self._memory.mark_rejected(owner, blocks)

    def is_rejected(self, owner: str, block: SignedThinking) -> bool:
        """See ``ThinkingStore.is_rejected``."""
        return self._memory.is_rejected(owner, block)

    async def fetch(self, owner: str, call_ids: Sequence[str]) -> bool:
        """See ``ThinkingStore.fetch``."""
        keys = self._wanted(owner, call_ids)
        if not keys or self._closed:
            return False
        try:
            rows = await self._rows.find(list(keys))
        except StoreFailed as error:
            self._fails("read", error)
            return False
        self._works("read")
        has_any = False
        for key, call_id in keys.items():
            remembered = self._opened(key, rows.get(key))
            if remembered is None:
                self._mark_absent(key)
            else:
                self._memory.put(owner, call_id, *remembered)
                has_any = True
        return has_any

    async def written(self) -> None:
        """Until nothing waits to be written: for what has to know."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def aclose(self) -> None:
        """See ``ThinkingStore.aclose``. What waits is written, if that does not take long."""
        self._closed = True
        task = self._writing
        if task is not None:
            await asyncio.wait([task], timeout=CLOSE_TIMEOUT)
            task.cancel()
            await asyncio.wait([task])
        await self._rows.aclose()

    def _wanted(self, owner: str, call_ids: Sequence[str]) -> dict[bytes, str]:
        """Calls that are not remembered here, by the keys of their rows. What comes before one that is remembered
        nowhere is of no use."""
        wanted: dict[bytes, str] = {}
        for call_id in call_ids:
            if self._memory.knows(owner, call_id):
                continue
            if len(wanted) == MAX_FETCHED:
                break
            key = _key(owner, call_id)
            absent = self._absent.get(key)
            if absent is not None and self._clock() < absent.until:
                break
            wanted[key] = call_id
        return wanted

    def _mark_absent(self, key: bytes) -> None:
        is_new = key not in self._absent
        self._absent[key] = _Absent(self._clock() + (LOOK_AGAIN if is_new else MAX_AGE_SECONDS))
        self._absent.move_to_end(key)
        while len(self._absent) > _MAX_ABSENT:
            self._absent.popitem(last=False)

    def _opened(self, key: bytes, sealed: bytes | None) -> tuple[str, tuple[SignedThinking, ...]] | None:
        if sealed is None:
            return None
        try:
            data = self._sealer.open(sealed, key, "remembered thinking")
        except NotOpened as error:
            if self._clock() >= self._keys_logged_until:
                self._keys_logged_until = self._clock() + MAX_AGE_SECONDS
                self._on_problem(f"{_ALONE}: {error}")
            return None
        row = msgspec.msgpack.decode(data, type=_Remembered)
        return _text(row.model), tuple(_block(*parts) for parts in row.blocks)

    # --- writing --------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Until nothing waits; ``put`` starts it again."""
        while self._waiting:
            batch = self._waiting.take()
            try:
                await self._rows.add(await asyncio.to_thread(self._sealed, batch))
            except StoreFailed as error:
                self._fails("write", error)
                if self._closed:
                    self._dropped += len(batch)
                    continue
                self._waiting.put_back(batch)
                await self._sleep(PAUSE)
            else:
                self._works("write")
                await self._look_again(batch[0][0])
        self._writing = None

    async def _look_again(self, key: bytes) -> None:
        """Whether rows can be read again: else that is not known until a conversation comes from another node."""
        if "read" in self._failing and not self._closed:
            with contextlib.suppress(StoreFailed):
                await self._rows.find([key])
                self._works("read")

    def _sealed(self, batch: Batch) -> list[tuple[bytes, bytes, float]]:
        rows = []
        for key, row in batch:
            data = msgspec.msgpack.encode(_Remembered(_bytes(row.model), tuple(map(_parts, row.blocks))))
            if len(data) <= MAX_ROW_BYTES:
                rows.append((key, self._sealer.seal(data, key), row.expires_at))
        return rows

    def _fails(self, part: _Part, error: StoreFailed) -> None:
        if not self._failing:
            self._on_problem(f"{_ALONE}: {error}")
        self._failing.add(part)

    def _works(self, part: _Part) -> None:
        if part in self._failing:
            self._failing.remove(part)
            if not self._failing:
                self._on_problem(None)


def _key(owner: str, call_id: str) -> bytes:
    return row_key(owner, call_id, b"thinking")


def _parts(block: SignedThinking) -> tuple[bytes, ...]:
    if isinstance(block, ThinkingBlock):
        return _bytes(block.thinking), _bytes(block.signature)
    return (_bytes(block.data),)


def _block(first: bytes, signature: bytes | None = None) -> SignedThinking:
    if signature is None:
        return RedactedThinkingBlock(_text(first))
    return ThinkingBlock(_text(first), _text(signature))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
