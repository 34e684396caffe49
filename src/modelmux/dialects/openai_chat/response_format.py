"""``response_format`` -> the format of the answer."""

from __future__ import annotations

from modelmux.claude.request import AnswerFormat
from modelmux.dialects.openai_shared.foreign.rewrite import unknown_value
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.chat_request import ResponseFormat

SCHEMA_FIELD = "response_format.json_schema.schema"


def translate_response_format(wanted: ResponseFormat | None) -> AnswerFormat | None:
    """The format a client asks for; None for plain text.

    :raises InvalidRequest: an unknown type, or no schema.
    """
    if wanted is None or wanted.type == "text":
        return None
    has_schema = wanted.json_schema is not None and wanted.json_schema.schema is not None
    if wanted.type == "json_object" and not has_schema:
        return AnswerFormat()
    if wanted.type not in ("json_schema", "json_object"):
        raise unknown_value(wanted.type, "response_format.type", ("text", "json_object", "json_schema"))
    if wanted.json_schema is None or wanted.json_schema.schema is None:
        raise InvalidRequest(
            "'response_format' has no schema.", param=SCHEMA_FIELD, hint="Send the JSON schema to follow."
        )
    return AnswerFormat(wanted.json_schema.schema, wanted.json_schema.name, wanted.json_schema.description)
