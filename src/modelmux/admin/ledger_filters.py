"""Filters of usage and of rows: names become ids, as far as the principal sees what they name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import WITHOUT_RECORD
from modelmux.accounts.usage_scope import Where
from modelmux.admin.operation import Call
from modelmux.admin.references import named_key, named_person, named_team
from modelmux.catalog.model_filters import with_models

_FIND: Final = {"key": named_key, "team": named_team, "person": named_person}


def with_ids(call: Call, directory: Directory, where: Where) -> Where:
    """A filter with ids in place of names. :raises FieldError: one names what the principal does not see."""
    return with_models(
        tuple((name, tuple(_id(call, directory, name, value) for value in values)) for name, values in where),
        call.backend.config.build_catalog,
    )


def params_of(params: Any, names: Sequence[str]) -> dict[str, list[str]]:
    """Parameters that were sent, as lists of one value."""
    return {name: [value] for name in names if (value := getattr(params, name)) is not None}


def _id(call: Call, directory: Directory, name: str, value: str) -> str:
    find = _FIND.get(name)
    if find is None:
        return value
    scope = call.scope(directory)
    if call.principal.role == "viewer" or (scope.is_all and name == "key" and WITHOUT_RECORD.fullmatch(value)):
        return value
    key = directory.keys.get(value) if name == "key" else None
    if key is not None and scope.sees(key):
        return key.id  # also one that was revoked
    return find(call, directory, name, value) or value
