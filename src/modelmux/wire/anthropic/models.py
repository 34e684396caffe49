"""The model list in Anthropic's shape. Data only.

Source: the ``anthropic`` SDK 2.12.0 (``types/model_info.py``, ``pagination.py``).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct


class ModelInfo(Struct, kw_only=True):
    """One model.

    :param created_at: RFC 3339; 1970 if the date is unknown.
    :param lifecycle: ``deprecated`` once a retirement is scheduled; only Google knows whether it has happened.
    """

    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active", "deprecated"]
    deprecated_at: str | None = None
    retires_at: str | None
    line: None = None
    max_input_tokens: int
    max_tokens: int
    capabilities: dict[str, Any] | None = None


class ModelPage(Struct, kw_only=True):
    """A page of the list, from ``first_id`` to ``last_id``."""

    data: list[ModelInfo]
    has_more: bool
    first_id: str | None
    last_id: str | None


class ErrorBody(Struct, kw_only=True):
    type: str
    message: str


class ErrorReply(Struct, kw_only=True):
    """An error as Anthropic's clients expect it."""

    type: Literal["error"] = "error"
    error: ErrorBody
    request_id: str
