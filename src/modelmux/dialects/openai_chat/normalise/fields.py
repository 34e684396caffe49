"""Fields of a request that have another name or place in other dialects."""

from __future__ import annotations

from typing import Any, Final

from modelmux.dialects.openai_shared.foreign.rewrite import Json, Rewrite, unread, without
from modelmux.errors import InvalidRequest

#: Fields of other dialects that mean what one of Chat Completions' means, with that one.
SYNONYMS: Final = {
    "stop_sequences": "stop",
    "max_output_tokens": "max_tokens",
    "output_format": "response_format",
}
#: Fields of other dialects that say what a request always says here.
NEUTRAL: Final = ("anthropic_version",)
#: Fields of other dialects without which the answer would be another one.
REFUSED: Final = {
    "mcp_servers": "This gateway does not connect to MCP servers; declare their tools as functions.",
    "container": "This gateway does not run containers; leave it out.",
    "previous_response_id": "Chat Completions keeps no conversations; send all messages, or use /v1/responses.",
    "conversation": "Chat Completions keeps no conversations; send all messages.",
    "prompt": "Prompt templates are not stored here; send the messages themselves.",
}
_SCHEMA_NAMES: Final = ("schema", "response_schema", "json_schema")


def reject_foreign(body: Json) -> None:
    """:raises InvalidRequest: a field that changes the answer and has no counterpart."""
    for name, hint in REFUSED.items():
        if body.get(name) not in (None, [], {}, ""):
            raise InvalidRequest(
                f"Unsupported parameter: '{name}'.", param=name, code="unsupported_parameter", hint=hint
            )


def normalise_fields(body: Json, rewrite: Rewrite) -> None:
    """Give fields the names that they have in Chat Completions, in place."""
    for name in (*NEUTRAL, *(name for name in REFUSED if name in body)):
        body.pop(name, None)
    _take_output_config(body, rewrite)
    _take_text(body, rewrite)
    for name, meaning in SYNONYMS.items():
        if name in body:
            _set(body, meaning, body.pop(name), name, rewrite)
    if body.get("response_format") is not None:
        origin = rewrite.client_path("response_format")
        body["response_format"] = normalise_format(body["response_format"], origin, rewrite)
    thinking = body.get("thinking")
    if isinstance(thinking, bool):
        body["thinking"] = {"type": "enabled" if thinking else "disabled"}
        rewrite.completed("thinking", "It is an object with a type.")


def _set(body: Json, name: str, value: Any, origin: str, rewrite: Rewrite) -> None:
    """Set a field of Chat Completions from another; the field's own name takes precedence."""
    if value is None:
        return
    if body.get(name) is None:
        body[name] = value
        rewrite.renamed(name, origin)
    elif body[name] != value:
        rewrite.notices.add("ignored", origin, f"`{name}` is also set and takes precedence.")


def _take_output_config(body: Json, rewrite: Rewrite) -> None:
    """The format of ``output_config``; its effort has no other place in Chat Completions."""
    config = body.get("output_config")
    if isinstance(config, dict) and "format" in config:
        _set(body, "response_format", config["format"], "output_config.format", rewrite)
        body["output_config"] = without(config, "format")


def _take_text(body: Json, rewrite: Rewrite) -> None:
    """``text`` of Responses: the format and the verbosity."""
    text = body.get("text")
    if not isinstance(text, dict):
        return
    for inner, name in (("format", "response_format"), ("verbosity", "verbosity")):
        _set(body, name, text.get(inner), f"text.{inner}", rewrite)
    for unknown in unread(text, "format", "verbosity"):
        rewrite.notices.ignore_unknown(f"text.{unknown}"[:80], "Not a field of Chat Completions.")
    del body["text"]


def normalise_format(value: Any, path: str, rewrite: Rewrite) -> Any:
    """``response_format``: flat as in Responses and Messages, by its name alone, or ``json_object`` with a schema."""
    if isinstance(value, str):
        return {"type": value}
    if not isinstance(value, dict):
        return value
    kind = value.get("type") or None
    named = [name for name in _SCHEMA_NAMES if isinstance(value.get(name), dict)]
    if kind is None and named:
        rewrite.completed(f"{path}.type", "A format with a schema is one of type 'json_schema'.")
    if not named or kind not in (None, "json_object", "json_schema"):
        return value
    name, inner = named[0], value[named[0]]
    rest = without(value, "type", *named[:1])
    definition: Json
    if name == "json_schema" and _is_definition(inner):
        definition = dict(inner)
        for spelling in ("response_schema", "parameters", "input_schema"):
            if definition.get("schema") is None and isinstance(definition.get(spelling), dict):
                definition["schema"] = definition.pop(spelling)
    else:  # the schema itself
        rewrite.renamed(f"{path}.json_schema.schema", f"{path}.{name}")
        rewrite.renamed(f"{path}.json_schema", path)
        used = ("name", "description", "strict")
        definition = {"schema": inner, **{key: member for key, member in rest.items() if key in used}}
        rest = without(rest, *used)
    return {**rest, "type": "json_schema", "json_schema": definition}


def _is_definition(value: Json) -> bool:
    """Whether ``json_schema`` holds a schema, or is one."""
    return any(name in value for name in ("schema", "name", "strict", "response_schema")) and not (
        "schema" not in value and any(name in value for name in ("properties", "$ref", "anyOf"))
    )
