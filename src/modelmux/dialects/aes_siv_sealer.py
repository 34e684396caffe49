"""The ``Sealer`` that gateways use: AES-SIV (RFC 5297), with keys that can be replaced one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

#: Bytes of a key: AES-128 or AES-256, twice, because one half authenticates and the other encrypts.
KEY_SIZES: Final = (32, 64)
#: Bytes that sealed data is longer than the data: the tag, which is the initialization vector, too.
_TAG_SIZE: Final = 16


class AesSivSealer:
    """Seals with the first key and opens with any.

    :param keys: newest first, each of 32 or 64 bytes; at least one.
    :raises ValueError: no key, or one of another size.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) not in KEY_SIZES for key in keys):
            raise ValueError("a sealer needs keys of 32 or 64 bytes")
        self._ciphers = [AESSIV(key) for key in keys]

    def seal(self, data: bytes, context: bytes) -> bytes:
        """See ``Sealer.seal``."""
        return self._ciphers[0].encrypt(data, [context])

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """See ``Sealer.open``."""
        if len(sealed) < _TAG_SIZE:
            return None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed, [context])
            except InvalidTag:
                continue
        return None
