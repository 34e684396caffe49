"""Signatures of thinking blocks.

A signature states which model made the block, after which prefix (system, tools, all earlier messages) and with which
text, under a MAC. ``validation.thinking`` checks them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any, Final, Literal, NamedTuple

import msgspec

from modelmux.emulator.model.prompt import Block, tools_in_prompt

BINDING_BETA: Final = "thinking-binding-controls-2026-08-01"
THINKING_TYPES: Final = ("thinking", "redacted_thinking")
_MAGIC: Final = b"\x12MMX1"
_UNBOUND: Final = bytes(16)
_MAC_SIZE: Final = 32
_PADDING: Final = 128
#: Anything shorter cannot be a signature of the real service.
_MIN_REAL_SIZE: Final = 64

_encode: Final = msgspec.json.Encoder().encode


class Signature(NamedTuple):
    """The contents of a signature. ``text`` is the digest of the full thinking, shown or not."""

    model: str
    prefix: bytes
    text: bytes


class Signer:
    """Makes and decodes signatures with one key. The same key and input give the same signature."""

    def __init__(self, seed: int) -> None:
        self._key = hashlib.blake2b(b"modelmux emulator", key=seed.to_bytes(8, signed=True)).digest()

    def sign(self, model: str, prefix: bytes | None, text: str) -> str:
        """A signature for a block with this full text, made by ``model`` after ``prefix`` (None: not bound)."""
        name = model.encode()
        payload = _MAGIC + bytes([len(name)]) + name + (prefix or _UNBOUND) + text_digest(text)
        mac = hmac.digest(self._key, payload, "sha256")
        padding = hashlib.shake_128(mac).digest(_PADDING)
        return base64.b64encode(payload + mac + padding).decode()

    def decode(self, signature: str) -> Signature | Literal["foreign"] | None:
        """The contents of our own signature; ``foreign`` for one that may be real; None for anything else."""
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return None
        if not raw.startswith(_MAGIC):
            return "foreign" if len(raw) >= _MIN_REAL_SIZE and raw[0] == 0x12 else None
        end = len(_MAGIC) + 1 + raw[len(_MAGIC)] + 32
        payload, mac = raw[:end], raw[end : end + _MAC_SIZE]
        if not hmac.compare_digest(hmac.digest(self._key, payload, "sha256"), mac):
            return None
        return Signature(
            model=payload[len(_MAGIC) + 1 : end - 32].decode(),
            prefix=payload[end - 32 : end - 16],
            text=payload[end - 16 :],
        )


def text_digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class PrefixDigest:
    """A running digest of everything before a block in the conversation.

    It ignores cache breakpoints, and treats a string as one text block. Everything else counts, including the order of
    keys in a tool's schema and the order of blocks.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._role: str | None = None
        system = body.get("system") or []
        blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
        tools = tools_in_prompt(body)
        self._hash.update(_encode([[_normalised(block) for block in blocks], [_normalised(tool) for tool in tools]]))

    def add(self, role: str, block: Block) -> None:
        if role != self._role:
            self._role = role
            self._hash.update(b"\x00" + role.encode())
        self._hash.update(b"\x01" + _encode(_normalised(block)))

    def digest(self) -> bytes:
        return self._hash.digest()


def _normalised(block: Any) -> Any:
    """A block without cache breakpoints and empty fields; its own keys sorted, nested ones in their order."""
    if not isinstance(block, dict):
        return block
    fields = {k: block[k] for k in sorted(block) if k != "cache_control" and block[k] not in (None, [], False)}
    if fields.get("type") in THINKING_TYPES:
        fields.pop("thinking", None)  # shown or hidden, it is the same block
    content = fields.get("content")
    if isinstance(content, str):
        fields["content"] = [{"text": content, "type": "text"}]
    elif isinstance(content, list):
        fields["content"] = [_normalised(inner) for inner in content]
    return fields


class SignatureCheck(NamedTuple):
    """Result of checking a request: the prefix that a new block is bound to, and the blocks that were dropped."""

    prefix: PrefixDigest | None
    transformations: list[dict[str, str]]
