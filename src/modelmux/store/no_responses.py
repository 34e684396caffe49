"""The store of responses of a gateway that stores none."""

from __future__ import annotations

from modelmux.dialects.stored_responses import History, HistoryQuery, StoredResponse
from modelmux.store.base import StoreFailed


class NoResponseStore:
    """A ``ResponseStore`` that knows no response. ``DialectOptions.stores_responses`` is False with it."""

    async def put(self, owner: str, response: StoredResponse) -> None:
        del owner, response
        raise StoreFailed("this gateway stores no responses")

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        del owner, response_id
        return None

    async def history(self, owner: str, query: HistoryQuery) -> History:
        del owner
        return History(items=() if query.previous_id is None else None)

    async def delete(self, owner: str, response_id: str) -> bool:
        del owner, response_id
        return False

    async def aclose(self) -> None:
        pass
