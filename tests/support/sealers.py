"""A sealer without a cipher: what it seals can be read, but neither made nor changed by others."""

from __future__ import annotations

import hashlib
import hmac

_DIGEST = 16


class TestSealer:
    """
    :param key: what is sealed with another key is foreign.
    """

    __test__ = False

    def __init__(self, key: bytes = b"key") -> None:
        self._key = key

    def seal(self, data: bytes, context: bytes) -> bytes:
        return self._digest(data, context) + data

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        digest, data = sealed[:_DIGEST], sealed[_DIGEST:]
        return data if hmac.compare_digest(digest, self._digest(data, context)) else None

    def _digest(self, data: bytes, context: bytes) -> bytes:
        return hmac.digest(self._key, len(context).to_bytes(4) + context + data, hashlib.sha256)[:_DIGEST]
