"""Thinking blocks must come back unchanged, in the conversation in which they were made.

Models with preserved thinking reject a block whose prefix changed; every model rejects a block that was tampered with.
Signatures of the real service cannot be verified here; they are treated as those of another model.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.errors import ApiError, invalid_request
from modelmux.emulator.model.prompt import Block, blocks_of, messages_of
from modelmux.emulator.model.signatures import (
    BINDING_BETA,
    THINKING_TYPES,
    PrefixDigest,
    SignatureCheck,
    Signer,
    text_digest,
)


def check_thinking_blocks(
    call: EmulatedCall, signer: Signer, policy: Literal["error", "drop", "off"]
) -> SignatureCheck:
    """Check every thinking block of a request.

    :raises ApiError: a block is forged, was modified, or belongs to another conversation.
    """
    messages = messages_of(call.body)
    bound = call.card.preserved_thinking and policy != "off"
    if not bound and b'thinking"' not in msgspec.json.encode(messages):
        return SignatureCheck(None, [])
    prefix = PrefixDigest(call.body)
    latest = max((i for i, m in enumerate(messages) if m.get("role") == "assistant"), default=-1)
    dropped: list[dict[str, str]] = []
    for i, message in enumerate(messages):
        role = str(message.get("role"))
        for j, block in enumerate(blocks_of(message)):
            if block.get("type") in THINKING_TYPES:
                path = f"messages.{i}.content.{j}"
                reason = _drop_reason(call, signer, prefix if bound else None, block, path, i == latest)
                if reason:
                    if reason == "prefix_binding_mismatch" and policy == "error" and not call.drops_mismatched:
                        raise _other_conversation(path, str(block["type"]))
                    dropped.append({"type": "thinking_dropped", "path": path, "reason": reason})
                    continue
            prefix.add(role, block)
    return SignatureCheck(prefix if bound else None, dropped)


def _drop_reason(
    call: EmulatedCall, signer: Signer, prefix: PrefixDigest | None, block: Block, path: str, latest: bool
) -> str | None:
    """Why a block must be dropped; None if it is accepted.

    :raises ApiError: it is forged or modified.
    """
    redacted = block["type"] == "redacted_thinking"
    signature = signer.decode(str(block.get("data" if redacted else "signature", "")))
    if signature is None:
        field = "`data` in `redacted_thinking`" if redacted else "`signature` in `thinking`"
        raise invalid_request(f"{path}: Invalid {field} block")
    if signature == "foreign":
        return "model_binding_mismatch" if prefix is not None else None
    shown = str(block.get("thinking", ""))
    if not redacted and shown and text_digest(shown) != signature.text:
        if latest:
            raise invalid_request(
                f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
                "These blocks must remain as they were in the original response."
            )
        raise invalid_request(f"{path}: Invalid `signature` in `thinking` block")
    if prefix is None:
        return None
    if signature.model != call.card.id:
        return "model_binding_mismatch"
    return "prefix_binding_mismatch" if signature.prefix != prefix.digest() else None


def _other_conversation(path: str, kind: str) -> ApiError:
    return invalid_request(
        f"{path}: Invalid `signature` in `{kind}` block. The block is bound to a different conversation. Remove the "
        'block, or set `thinking.block_binding.prefix_mismatch_behavior` to "drop_block". That setting requires the '
        f"`{BINDING_BETA}` value in the `anthropic-beta` header."
    )
