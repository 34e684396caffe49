"""What travels in ``encrypted_content``: signed thinking of one run, or the summary of a compacted conversation.

``mmx1.`` and unpadded base64url of the sealed JSON. Bound to its owner and purpose; whatever was not sealed by this
gateway for this owner is foreign and never becomes thinking or text.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from modelmux.claude.draft import SignedThinking
from modelmux.claude.request import ThinkingRun
from modelmux.claude.thinking_blocks import redacted_thinking, signed_thinking
from modelmux.dialects.sealer import Sealer
from modelmux.wire.anthropic import ThinkingBlock

#: Names the format and its version.
PREFIX: Final = "mmx1."
#: Characters of one item's sealed content. The thinking of the longest reply (128,000 tokens) has fewer: a client that
#: sends more is not sending what it got.
MAX_SEALED: Final = 1024 * 1024
Purpose = Literal["thinking", "summary"]


class _Sealed(Struct, frozen=True, array_like=True):
    """A run as it is sealed. A thinking block is its text and signature; a redacted one is its data alone."""

    model: str
    response_id: str
    index: int
    blocks: list[list[str]]


_run_decoder: Final = msgspec.json.Decoder(_Sealed)


def seal_thinking(sealer: Sealer, owner: str, run: ThinkingRun) -> str:
    """``encrypted_content`` of one reasoning item."""
    blocks = [
        [block.thinking, block.signature] if isinstance(block, ThinkingBlock) else [block.data] for block in run.blocks
    ]
    data = msgspec.json.encode(_Sealed(run.model, run.response_id, run.index, blocks))
    return _seal(sealer, data, owner, "thinking")


def open_thinking(sealer: Sealer, owner: str, content: Any) -> ThinkingRun | None:
    """The run that was sealed; None if the content is foreign or damaged."""
    data = _open(sealer, content, owner, "thinking")
    if data is None:
        return None
    sealed = _run_decoder.decode(data)
    blocks = [_block(fields) for fields in sealed.blocks]
    return ThinkingRun(sealed.model, sealed.response_id, sealed.index, tuple(b for b in blocks if b is not None))


def seal_summary(sealer: Sealer, owner: str, summary: str) -> str:
    """``encrypted_content`` of a compaction item."""
    return _seal(sealer, summary.encode("utf-8", "replace"), owner, "summary")


def open_summary(sealer: Sealer, owner: str, content: Any) -> str | None:
    """The summary that was sealed; None if the content is foreign or damaged."""
    data = _open(sealer, content, owner, "summary")
    return None if data is None else data.decode()


def _block(fields: list[str]) -> SignedThinking | None:
    return signed_thinking(*fields) if len(fields) == 2 else redacted_thinking(fields[0])


def _seal(sealer: Sealer, data: bytes, owner: str, purpose: Purpose) -> str:
    return PREFIX + base64.urlsafe_b64encode(sealer.seal(data, _context(owner, purpose))).decode().rstrip("=")


def _open(sealer: Sealer, content: Any, owner: str, purpose: Purpose) -> bytes | None:
    if not isinstance(content, str) or not content.startswith(PREFIX) or len(content) > MAX_SEALED:
        return None
    encoded = content[len(PREFIX) :]
    try:
        sealed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return sealer.open(sealed, _context(owner, purpose))


def _context(owner: str, purpose: Purpose) -> bytes:
    return f"{PREFIX}{purpose} {owner}".encode()
