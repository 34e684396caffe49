"""Sealing of what a client keeps for the gateway: encrypted and authenticated, it comes back unchanged or not at all.

The cipher is deterministic (AES-SIV, RFC 5297): the same data gives the same text on every worker and in every turn,
which prompt caches depend on, and no nonce can be used twice.
"""

from __future__ import annotations

from typing import Protocol


class Sealer(Protocol):
    """Seals bytes for one context and opens them again. Pure: no clock, no random numbers."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        """
        :param context: what the data is bound to (its owner and purpose). It is not part of the result.
        """
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """The data; None for anything that was not sealed with a known key for this context."""
        ...
