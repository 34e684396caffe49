"""Token counts of a reply: merging those of a stream, adding those of several calls."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import UNSET, Struct

from modelmux.wire import anthropic

S = TypeVar("S", bound=Struct)


def merge(earlier: anthropic.Usage | None, later: anthropic.Usage | None) -> anthropic.Usage:
    """Counts of a stream are cumulative and may omit fields: a present value replaces the earlier one."""
    if later is None or earlier is None:
        return later or earlier or anthropic.Usage()
    return _merged(earlier, later)


def _merged(earlier: S, later: S) -> S:
    present = {}
    for name in later.__struct_fields__:
        value = getattr(later, name)
        if value is None or value is UNSET:
            continue
        if isinstance(value, Struct):
            if value == type(value)():
                continue  # present but empty
            if (before := getattr(earlier, name)) is not None:
                value = _merged(before, value)
        present[name] = value
    return msgspec.structs.replace(earlier, **present)


def add(earlier: anthropic.Usage | None, later: anthropic.Usage | None) -> anthropic.Usage | None:
    """The sum of the counts of two calls."""
    if earlier is None or later is None:
        return earlier or later
    thinking = [u.output_tokens_details.thinking_tokens or 0 for u in (earlier, later) if u.output_tokens_details]
    return anthropic.Usage(
        (earlier.input_tokens or 0) + (later.input_tokens or 0),
        (earlier.cache_creation_input_tokens or 0) + (later.cache_creation_input_tokens or 0),
        (earlier.cache_read_input_tokens or 0) + (later.cache_read_input_tokens or 0),
        (earlier.output_tokens or 0) + (later.output_tokens or 0),
        anthropic.OutputTokensDetails(sum(thinking)) if thinking else None,
    )
