"""The OpenAPI 3.1 document, made from the operations and their structs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from modelmux.accounts.roles import PERMISSIONS
from modelmux.admin.operation import BASE, Operation
from modelmux.version import __version__
from modelmux.wire.openai.common import ErrorEnvelope

_REF: Final = "#/components/schemas/{name}"
_PATH_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
_PENDING: Final = {"type": "integer", "description": "Workers that do not have the change yet; left out if all have."}
_IF_MATCH: Final = {
    "name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"},
    "description": "The etag of the record as it was read; 412 if it was changed since.",
}  # fmt: skip
_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 128},
    "description": "A call that is repeated with it within 24 hours does nothing twice.",
}  # fmt: skip
_ERRORS: Final = {
    "400": "A field or a parameter cannot be used; param names it.",
    "401": "There is no valid token.",
    "403": "The role may not do this.",
    "404": "There is no such record that the token may see.",
    "409": "Not with the records as they are; code says why.",
    "412": "The record is not the one of If-Match.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "Too many calls; retry-after says when to come back.",
    "500": "The gateway failed; its log has the request id.",
    "503": "The accounts cannot be read or written.",
}


def openapi(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document as plain values."""
    types: list[Any] = [ErrorEnvelope]
    for one in operations:
        types += [one.reply, one.params, *([one.body] if one.body is not None else [])]
    unique = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(unique, ref_template=_REF)
    by_type = dict(zip(unique, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(BASE + one.path, {})[one.method.lower()] = _operation(one, by_type, components)
    params = {_name(by_type[one.params]) for one in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ModelMux admin API",
            "version": __version__,
            "description": "Keys, teams, people, budgets and limits of a gateway, and what was used.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: schema for name, schema in components.items() if name not in params},
        },
    }


def _operation(one: Operation, by_type: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    reply = by_type[one.reply]
    if one.writes:
        reply = {"allOf": [reply, {"type": "object", "properties": {"pending_workers": _PENDING}}]}
    roles = [role for role, permissions in PERMISSIONS.items() if one.permission in permissions]
    document: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.summary,
        "description": f"For the roles {', '.join(roles)}.",
        "security": [{"token": []}],
        "parameters": [*_path_parameters(one), *_query_parameters(by_type[one.params], components), *_headers(one)],
        "responses": {
            str(one.status): {"description": "Done.", "content": {"application/json": {"schema": reply}}},
            **{status: _error(text, by_type) for status, text in _ERRORS.items()},
        },
    }
    if one.body is not None:
        schema = by_type[one.body]
        is_required = bool(components[_name(schema)].get("required"))
        document["requestBody"] = {"required": is_required, "content": {"application/json": {"schema": schema}}}
    return document


def _path_parameters(one: Operation) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": 128}
    names = _PATH_PARAMETER.findall(one.path)
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _query_parameters(schema: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    component = components[_name(schema)]
    required = component.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": each}
        for name, each in component.get("properties", {}).items()
    ]


def _headers(one: Operation) -> list[dict[str, Any]]:
    if one.method == "PATCH":
        return [_IF_MATCH]
    return [_IDEMPOTENCY] if one.method == "POST" else []


def _error(text: str, by_type: dict[Any, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": by_type[ErrorEnvelope]}}}


def _name(schema: dict[str, Any]) -> str:
    name: str = schema["$ref"].rpartition("/")[2]
    return name
