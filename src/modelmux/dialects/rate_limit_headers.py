"""Headers that tell what is left of the limits of a key, in the forms of both vendors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from modelmux.dialects.base import RateLimit
from modelmux.errors import CallerRateLimited, GatewayError
from modelmux.wire.http import Headers


def openai_headers(limits: Sequence[RateLimit]) -> Headers:
    """``x-ratelimit-limit-requests``, and so on. OpenAI has no limits of input or output alone."""
    return [
        (f"x-ratelimit-{field}-{one.counts}".encode(), value.encode())
        for one in limits
        if one.counts in ("requests", "tokens")
        for field, value in (
            ("limit", str(one.limit)), ("remaining", str(one.remaining)), ("reset", duration(one.resets_in)),
        )
    ]  # fmt: skip


def anthropic_headers(limits: Sequence[RateLimit]) -> Headers:
    """``anthropic-ratelimit-requests-limit``, and so on."""
    return [
        (f"anthropic-ratelimit-{one.counts}-{field}".encode(), value.encode())
        for one in limits
        for field, value in (
            ("limit", str(one.limit)), ("remaining", str(one.remaining)), ("reset", _instant(one.resets_at)),
        )
    ]  # fmt: skip


def limits_of_error(error: GatewayError) -> Sequence[RateLimit]:
    """Of a refusal because of them."""
    return error.limits if isinstance(error, CallerRateLimited) else ()


def duration(seconds: float) -> str:
    """``1s``, ``6m0s``: whole seconds, rounded up."""
    minutes, rest = divmod(max(0, math.ceil(seconds)), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _instant(at: float) -> str:
    """RFC 3339, rounded up to a second."""
    return datetime.fromtimestamp(math.ceil(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
