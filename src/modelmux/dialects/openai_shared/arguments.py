"""The arguments of tool calls."""

from __future__ import annotations

from typing import Any

import msgspec

from modelmux.claude.notices import Notices
from modelmux.dialects.request_body import HALF_A_CHARACTER
from modelmux.wire.lone_surrogates import replace_lone_surrogates


def decode_arguments(text: str | None, notices: Notices, field: str) -> dict[str, Any]:
    """A tool call's argument string as the object Anthropic requires; any other value is wrapped in one."""
    if text is None or not text.strip():
        return {}
    try:
        value = _decode(text, notices, field)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        notices.add("changed", field, "The arguments are not JSON; they are sent as one string.")
        return {"arguments": text}
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    notices.add("changed", field, "The arguments are not an object; they are sent inside one.")
    return {"arguments": value}


def _decode(text: str, notices: Notices, field: str) -> Any:
    """:raises msgspec.DecodeError: :raises RecursionError: :raises UnicodeError:"""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        data = text.encode()
        replaced = replace_lone_surrogates(data)
        if replaced is data:
            raise
    value = msgspec.json.decode(replaced)
    notices.add("changed", field, HALF_A_CHARACTER)
    return value
