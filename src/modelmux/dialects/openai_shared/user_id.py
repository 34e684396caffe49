"""The identity of a client's user."""

from __future__ import annotations

import hashlib


def user_id(value: str) -> str:
    """A stable opaque id for ``metadata.user_id``: Anthropic forbids names, addresses and numbers there."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
