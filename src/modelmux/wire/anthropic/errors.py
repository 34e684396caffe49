"""Errors as Anthropic's clients expect them. Data only.

Source: the ``anthropic`` SDK 2.14.0 (``_exceptions.py``, ``lib/threads/_thread_state.py`` for ``details``).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType


class ErrorDetail(Struct, kw_only=True):
    """:param details: more about the error, for programs."""

    type: str
    message: str
    details: dict[str, Any] | UnsetType = UNSET


class ErrorEnvelope(Struct, kw_only=True):
    """The body of an error response, and the data of an ``error`` event."""

    type: Literal["error"] = "error"
    error: ErrorDetail
    request_id: str
