"""``text.format`` -> the format of the answer."""

from __future__ import annotations

from typing import Any, Final

from modelmux.claude.request import AnswerFormat
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.responses_request import TextConfig

SCHEMA_FIELD: Final = "text.format.schema"
_VERBOSITIES: Final = ("low", "medium", "high")


def translate_text_format(text: TextConfig | None) -> AnswerFormat | None:
    """The format a client asks for; None for plain text.

    :raises InvalidRequest: an unknown type, or no schema.
    """
    wanted = text.format if text is not None else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return AnswerFormat()
    if wanted.type != "json_schema":
        raise InvalidRequest(
            "Unknown 'text.format.type'.", param="text.format.type", hint="Use text, json_object or json_schema."
        )
    if wanted.schema is None:
        raise InvalidRequest("'text.format' has no schema.", param=SCHEMA_FIELD, hint="Send the JSON schema to follow.")
    return AnswerFormat(wanted.schema, wanted.name, wanted.description)


def echo_text(text: TextConfig | None, raw: Any) -> dict[str, Any]:
    """``text`` as the response repeats it.

    :param raw: the same as the client wrote it.
    """
    echoed = raw.get("format") if isinstance(raw, dict) else None
    verbosity = text.verbosity if text is not None else None
    return {
        "format": echoed or {"type": "text"},
        "verbosity": verbosity if verbosity in _VERBOSITIES else "medium",
    }
