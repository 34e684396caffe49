"""Ids in the form of the real ones, the same for the same seed, request number and position in the reply."""

from __future__ import annotations

import hashlib
from typing import Final

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(digest: bytes, length: int) -> str:
    """``length`` characters of the alphabet of the real ids, drawn from a digest."""
    number = int.from_bytes(digest)
    out = []
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        out.append(_ALPHABET[index])
    return "".join(out)


def nonce(seed: int, counter: int, body: bytes) -> str:
    """20 characters that identify one request."""
    digest = hashlib.blake2b(body[:4096], digest_size=24, salt=counter.to_bytes(16), key=seed.to_bytes(8, signed=True))
    return base58(digest.digest(), 20)


def message_id(nonce: str) -> str:
    return f"msg_vrtx_01{nonce}zz"


def tool_id(nonce: str, index: int) -> str:
    """Id of the tool call at an index of the reply."""
    return f"toolu_vrtx_01{nonce}{index:02d}"


def server_tool_id(nonce: str, index: int) -> str:
    return f"srvtoolu_vrtx_01{nonce}{index:02d}"


def request_id(nonce: str) -> str:
    return f"req_vrtx_011C{nonce}"


def received_id(nonce: str) -> str:
    """The UUID under which Google's front end received a streaming call."""
    digits = nonce.encode().hex()[:32]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
