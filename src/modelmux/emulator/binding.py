"""Signatures of thinking blocks, and the check that a block comes back where it was made.

A signature says which model made the block, after which prefix (system, tools, all earlier messages) and with which
text, under a MAC. Models with preserved thinking refuse a block whose prefix changed; every model refuses a block that
was tampered with. Signatures of the real service cannot be checked here and pass as those of another model.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any, Final, Literal, NamedTuple

import msgspec

from modelmux.emulator.call import Call
from modelmux.emulator.prompt import Block, blocks_of, messages_of
from modelmux.emulator.refusals import invalid

BINDING_BETA: Final = "thinking-binding-controls-2026-08-01"
_MAGIC: Final = b"\x12MMX1"
_UNBOUND: Final = bytes(16)
_MAC_SIZE: Final = 32
_PADDING: Final = 128
#: Anything shorter cannot be a signature of the real service.
_SHORTEST_REAL: Final = 64
_THINKING: Final = ("thinking", "redacted_thinking")

_encode: Final = msgspec.json.Encoder().encode


class Seal(NamedTuple):
    """What a signature of ours says. ``text`` is the digest of the full thinking, shown or not."""

    model: str
    prefix: bytes
    text: bytes


class Signer:
    """Makes and reads signatures with one key. The same key and input give the same signature."""

    def __init__(self, seed: int) -> None:
        self._key = hashlib.blake2b(b"modelmux emulator", key=seed.to_bytes(8, signed=True)).digest()

    def sign(self, model: str, prefix: bytes | None, text: str) -> str:
        """A signature for a block with this (full) text, made by ``model`` after ``prefix`` (None: not bound)."""
        name = model.encode()
        payload = _MAGIC + bytes([len(name)]) + name + (prefix or _UNBOUND) + digest(text)
        mac = hmac.digest(self._key, payload, "sha256")
        padding = hashlib.shake_128(mac).digest(_PADDING)
        return base64.b64encode(payload + mac + padding).decode()

    def read(self, signature: str) -> Seal | Literal["foreign"] | None:
        """The seal of a signature of ours; ``foreign`` for what may be a real one; None for anything else."""
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return None
        if not raw.startswith(_MAGIC):
            return "foreign" if len(raw) >= _SHORTEST_REAL and raw[0] == 0x12 else None
        end = len(_MAGIC) + 1 + raw[len(_MAGIC)] + 32
        payload, mac = raw[:end], raw[end : end + _MAC_SIZE]
        if not hmac.compare_digest(hmac.digest(self._key, payload, "sha256"), mac):
            return None
        return Seal(payload[len(_MAGIC) + 1 : end - 32].decode(), payload[end - 32 : end - 16], payload[end - 16 :])


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Prefix:
    """A running digest of everything before a place in the conversation.

    Cache marks do not count, and a string counts as one text block; all else does, the order of keys in a tool's
    schema and of blocks too.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._role: str | None = None
        system = body.get("system") or []
        blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
        self._hash.update(_encode([[_bare(block) for block in blocks], [_bare(t) for t in body.get("tools") or []]]))

    def add(self, role: str, block: Block) -> None:
        if role != self._role:
            self._role = role
            self._hash.update(b"\x00" + role.encode())
        self._hash.update(b"\x01" + _encode(_bare(block)))

    def digest(self) -> bytes:
        return self._hash.digest()


def _bare(block: Any) -> Any:
    """A block without cache marks and without what stands for nothing; its own keys sorted, deeper ones as they are."""
    if not isinstance(block, dict):
        return block
    bare = {k: block[k] for k in sorted(block) if k != "cache_control" and block[k] not in (None, [], False)}
    if bare.get("type") in _THINKING:
        bare.pop("thinking", None)  # shown or hidden, it is the same block
    content = bare.get("content")
    if isinstance(content, str):
        bare["content"] = [{"text": content, "type": "text"}]
    elif isinstance(content, list):
        bare["content"] = [_bare(inner) for inner in content]
    return bare


class Checked(NamedTuple):
    """Outcome of the check: the prefix a new block is bound to, and what was dropped on the way."""

    prefix: Prefix | None
    transformations: list[dict[str, str]]


def check(call: Call, signer: Signer, policy: Literal["error", "drop", "off"]) -> Checked:
    """Check every thinking block of a request.

    :raises Refused: a block is forged, was modified, or belongs to another conversation.
    """
    messages = messages_of(call.body)
    bound = call.card.preserved_thinking and policy != "off"
    if not bound and b'thinking"' not in _encode(messages):
        return Checked(None, [])
    prefix = Prefix(call.body)
    latest = max((i for i, m in enumerate(messages) if m.get("role") == "assistant"), default=-1)
    dropped: list[dict[str, str]] = []
    for i, message in enumerate(messages):
        role = str(message.get("role"))
        for j, block in enumerate(blocks_of(message)):
            if block.get("type") in _THINKING:
                reason = _verdict(
                    call, signer, prefix if bound else None, block, f"messages.{i}.content.{j}", i == latest
                )
                if reason:
                    if reason == "prefix_binding_mismatch" and policy == "error" and not call.drops_mismatched:
                        raise _other_conversation(f"messages.{i}.content.{j}", str(block["type"]))
                    dropped.append({"type": "thinking_dropped", "path": f"messages.{i}.content.{j}", "reason": reason})
                    continue
            prefix.add(role, block)
    return Checked(prefix if bound else None, dropped)


def _verdict(call: Call, signer: Signer, prefix: Prefix | None, block: Block, path: str, latest: bool) -> str | None:
    """Why a block must be dropped, or None when it stands.

    :raises Refused: it is forged or modified.
    """
    redacted = block["type"] == "redacted_thinking"
    seal = signer.read(str(block.get("data" if redacted else "signature", "")))
    if seal is None:
        what = "`data` in `redacted_thinking`" if redacted else "`signature` in `thinking`"
        raise invalid(f"{path}: Invalid {what} block")
    if seal == "foreign":
        return "model_binding_mismatch" if prefix is not None else None
    shown = str(block.get("thinking", ""))
    if not redacted and shown and digest(shown) != seal.text:
        if latest:
            raise invalid(
                f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
                "These blocks must remain as they were in the original response."
            )
        raise invalid(f"{path}: Invalid `signature` in `thinking` block")
    if prefix is None:
        return None
    if seal.model != call.card.id:
        return "model_binding_mismatch"
    return "prefix_binding_mismatch" if seal.prefix != prefix.digest() else None


def _other_conversation(path: str, kind: str) -> Exception:
    return invalid(
        f"{path}: Invalid `signature` in `{kind}` block. The block is bound to a different conversation. Remove the "
        'block, or set `thinking.block_binding.prefix_mismatch_behavior` to "drop_block". That setting requires the '
        f"`{BINDING_BETA}` value in the `anthropic-beta` header."
    )
