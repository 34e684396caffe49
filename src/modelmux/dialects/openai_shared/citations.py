"""The citations of a text that name a URL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw, Struct


class _Citation(Struct):
    type: str = ""
    url: str | None = None
    title: str | None = None


_decoder: Final = msgspec.json.Decoder(_Citation)


def citation(raw: Raw) -> tuple[str, str] | None:
    """URL and title of a citation; None if it has no URL."""
    try:
        decoded = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # raw JSON is not validated yet
        return None
    return (decoded.url, decoded.title or "") if decoded.url else None


def cited_urls(citations: Iterable[Raw]) -> dict[str, str]:
    """Each cited URL with its last title, in the order of their first citations."""
    return dict(filter(None, map(citation, citations)))
