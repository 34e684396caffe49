"""Headers that tell what is left of the limits of a key, in the forms of both vendors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from modelmux.dialects.base import RateLimit
from modelmux.errors import CallerRateLimited, GatewayError
from modelmux.wire.http import Headers

#: What a limit counts -> the names of what it is, of what is left, and of the time until all of it is there again.
_OPENAI_NAMES: Final[Mapping[str, tuple[bytes, bytes, bytes]]] = {
    "requests": (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    "tokens": (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
}


def openai_headers(limits: Sequence[RateLimit]) -> Headers:
    """``x-ratelimit-limit-requests``, and so on. OpenAI has no limits of input or output alone."""
    headers: Headers = []
    for one in limits:
        names = _OPENAI_NAMES.get(one.counts)
        if names is not None:
            limit, remaining, reset = names
            resets_in = duration(one.resets_in).encode()
            headers += ((limit, b"%d" % one.limit), (remaining, b"%d" % one.remaining), (reset, resets_in))
    return headers


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
