"""Seals what nodes keep together, so that a database or a backup of it tells nothing without ``server.seal_keys``.

AES-SIV, as for what clients keep (``dialects/sealer.py``): nodes share a key, and none has to know which nonces the
others have used. Each row is bound to its owner and its id, so rows that were exchanged do not open.
"""

from __future__ import annotations

import hashlib
from typing import Final

from modelmux.dialects.sealer import Sealer
from modelmux.store.base import StoreFailed

#: Bytes that sealed data is longer.
OVERHEAD: Final = 16
#: What to do about rows that none of the keys opens.
KEYS_REMEDY: Final = (
    "give all nodes the same server.seal_keys, and keep an old key behind the new one until what it sealed has expired"
)


class NotOpened(StoreFailed):
    """A row was sealed with a key that this node does not have, or it was changed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} cannot be opened with server.seal_keys of this node; {KEYS_REMEDY}")


def row_key(owner: str, id: str, kind: bytes) -> bytes:
    """Identifies a row by its owner and its id, whatever characters they have.

    :param kind: of the row, at most 16 bytes.
    """
    parts = owner.encode("utf-8", "surrogatepass"), id.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(len(parts[0]).to_bytes(8), digest_size=32, person=kind)
    for part in parts:
        digest.update(part)
    return digest.digest()


class RowSealer:
    """
    :param purpose: what kind of rows these are, so that one is not taken for another.
    """

    def __init__(self, sealer: Sealer, purpose: bytes) -> None:
        self._sealer = sealer
        self._purpose = purpose

    def seal(self, data: bytes, key: bytes) -> bytes:
        """:param key: of the row."""
        return self._sealer.seal(data, self._purpose + b"\0" + key)

    def open(self, sealed: bytes, key: bytes, what: str) -> bytes:
        """:param what: for people, as "a stored response". :raises NotOpened:"""
        data = self._sealer.open(sealed, self._purpose + b"\0" + key)
        if data is None:
            raise NotOpened(what)
        return data
