"""Lowers ``max_tokens`` of a body that is about to be sent, because a budget has no room for more."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from modelmux.wire.json_edit import DuplicateKey, edit

#: Below it, an answer is cut so soon that a refusal serves better.
MIN_TOKENS: Final = 1_024


class _Thinking(Struct):
    budget_tokens: int = 0


class _Body(Struct):
    max_tokens: int
    thinking: _Thinking | None = None


_decode: Final = msgspec.json.Decoder(_Body).decode


def lower_max_tokens(body: bytes, most: int) -> bytes | None:
    """A Messages body with a smaller ``max_tokens``, and everything else as it was written.

    :param most: tokens of output, thinking included.
    :returns: None if that is too few for an answer or for the thinking budget, if the body asks for no more anyway, or
        if it is one that the upstream refuses.
    """
    try:
        read = _decode(body)
        budget = read.thinking.budget_tokens if read.thinking is not None else 0
        if most < MIN_TOKENS or most <= budget or most >= read.max_tokens:
            return None
        return edit(body, {("max_tokens",): str(most).encode()})
    except (msgspec.ValidationError, DuplicateKey):
        return None
