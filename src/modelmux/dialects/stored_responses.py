"""Responses that a client may refer to by id: what is stored of them, and what a request asks of the store.

Dialects make and read these values; ``store`` keeps them. Items are the client's own and the gateway's, as JSON, never
their translation: a stored conversation translates to the same bytes as one that a client sends inline.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class StoredItem(Struct, frozen=True):
    """One item of a conversation.

    :param id: the client's or the gateway's id of it; unique within a response.
    :param data: the item as JSON, as the client sent it or as the gateway made it. It may lack its id.
    """

    id: str
    data: bytes


class StoredResponse(Struct, frozen=True):
    """One response and the request that it answers.

    :param id: ``resp_…``; cannot be guessed.
    :param created_at: Unix seconds.
    :param previous_id: the response whose conversation this one continues.
    :param input: the items of the request itself, without those of ``previous_id``.
    :param output: the items of the response, with what a client did not ask for (``encrypted_content``).
    :param body: the response object as JSON, its ``output`` empty.
    """

    id: str
    created_at: int
    previous_id: str | None
    input: tuple[StoredItem, ...]
    output: tuple[StoredItem, ...]
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of its JSON."""
        return len(self.body) + sum(len(item.data) for item in (*self.input, *self.output))


class HistoryQuery(Struct, frozen=True):
    """What a request refers to.

    :param previous_id: the response whose conversation is continued.
    :param item_ids: items that are sent as references, in order, each once.
    """

    previous_id: str | None = None
    item_ids: tuple[str, ...] = ()


class History(Struct, frozen=True):
    """What the store knows of a ``HistoryQuery``.

    :param items: the conversation up to and including ``previous_id``, oldest first: for each response its input, then
        its output. Empty if no ``previous_id`` was asked for; None if that response, or one before it, is unknown.
    :param by_id: the items that are known of ``item_ids``, as JSON.
    """

    items: tuple[bytes, ...] | None = ()
    by_id: Mapping[str, bytes] = {}
