"""The protocols of the stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from modelmux.claude.draft import SignedThinking
from modelmux.dialects.stored_responses import History, HistoryQuery, StoredResponse
from modelmux.errors import InvalidRequest, StoreUnavailable


class ThinkingStore(Protocol):
    """Remembers the thinking blocks that came right before a tool call, for clients that cannot send them back.

    Everything is kept by owner: no caller gets the blocks of another.

    :ivar is_shared: whether other nodes may remember what this one does not, so that ``fetch`` may be of use.
    """

    @property
    def is_shared(self) -> bool: ...

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

    async def fetch(self, owner: str, call_ids: Sequence[str]) -> bool:
        """Look for what other nodes remember, so that ``get`` has it then. Takes little time, and never fails.

        :param call_ids: the newest first.
        :returns: whether there was anything.
        """
        ...

    async def aclose(self) -> None:
        """Idempotent."""
        ...


class StoreFailed(Exception):
    """A store could not be read or written. The message is for the log."""


class QueryTooLong(StoreFailed):
    """A query was ended, because it took longer than its caller may wait. The store is as it was.

    :param seconds: that it had.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a query was ended after {seconds:g} s")
        self.seconds = seconds


class StoreOutdated(StoreFailed):
    """It is of an older version, and the next start of the gateway brings it up to date."""


#: Responses of one conversation that ``ResponseStore.history`` follows.
MAX_CHAIN: Final = 1000
#: Bytes of items that ``ResponseStore.history`` returns: more fit into no request.
MAX_HISTORY_BYTES: Final = 64 * 1024 * 1024


#: A use is recorded if the last one recorded is longer ago than this part of the ttl, or than this many seconds.
_TOUCH_PART: Final = 1 / 20
_TOUCH_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class ResponseLimits:
    """The bounds of a ``ResponseStore``.

    :param ttl: seconds that a response is kept after its last use.
    :param max_bytes: of all responses, with what it costs to keep them.
    :param max_items: of all responses together.
    :param max_response_bytes: of one response, ``StoredResponse.size``.
    """

    ttl: float = 3600.0
    max_bytes: int = 256 * 1024 * 1024
    max_items: int = 1_000_000
    max_response_bytes: int = 8 * 1024 * 1024

    @property
    def largest_response(self) -> int:
        """Bytes of the largest response that is stored: one alone must not displace most others."""
        return min(self.max_response_bytes, self.max_bytes // 4)

    @property
    def touch_after(self) -> float:
        """Seconds since the last use that was recorded, after which another one is: not each is written."""
        return min(_TOUCH_SECONDS, self.ttl * _TOUCH_PART)

    def check_response(self, response: StoredResponse) -> None:
        """:raises StoreFailed: it is too large to be stored."""
        if response.size > self.largest_response:
            raise StoreFailed(f"a response of {response.size} bytes is larger than {self.largest_response}")


def check_history(responses: int, size: int) -> None:
    """Reject a reference to more than a request may have.

    :param responses: of the conversation.
    :param size: bytes of the items.
    :raises InvalidRequest:
    """
    hint = "Start a new conversation, or compact this one with POST /v1/responses/compact."
    if responses > MAX_CHAIN:
        message = f"The conversation of previous_response_id has more than {MAX_CHAIN} responses."
        raise InvalidRequest(message, param="previous_response_id", hint=hint)
    if size > MAX_HISTORY_BYTES:
        message = f"The stored items that this request refers to have more than {MAX_HISTORY_BYTES} bytes."
        raise InvalidRequest(message, param="input", hint=hint)


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
        """The conversation up to a response, and items by id, as they are at one moment.

        Of several items with one id, that of a response comes before one that a client sent, and the newest before
        others.

        :raises InvalidRequest: more responses than ``MAX_CHAIN``, or more bytes than ``MAX_HISTORY_BYTES``.
        :raises StoreFailed:
        """
        ...

    async def delete(self, owner: str, response_id: str) -> bool:
        """Delete a response, at once; whether there was one. Items that other responses hold stay.

        :raises StoreFailed:
        """
        ...

    async def aclose(self) -> None: ...


def accounts_unavailable(message: str, detail: str | None = None, retry_after: float = 2.0) -> StoreUnavailable:
    """503: the store of accounts gives no answer.

    :param detail: for the log. :param retry_after: seconds.
    """
    error = StoreUnavailable(message, code="accounts_unavailable", hint="Try again in a moment.", detail=detail)
    error.retry_after = retry_after
    return error
