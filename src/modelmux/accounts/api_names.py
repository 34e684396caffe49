"""The APIs that a key may be limited to, by the names that people use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelmux.accounts.records import Api

#: Name of a dialect -> the API.
API_OF_DIALECT: Final[Mapping[str, Api]] = {
    "openai_chat": "chat",
    "openai_responses": "responses",
    "anthropic_messages": "messages",
    "vertex_raw": "vertex",
}
