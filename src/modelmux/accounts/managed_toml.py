"""The teams, people, keys, budgets and limits of a directory as TOML that a configuration can have.

Secrets are not known. A key whose secret is stored with the pepper names a variable that has to have it; one that was
imported has its SHA-256.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.managed_diff import current_secret, fields_of
from modelmux.accounts.records import Key

#: What an entry has without saying so.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "unit": "usd", "window": "month", "mode": "hard", "alerts": [0.5, 0.8, 1.0], "on_short": "refuse",
    "reserve": "worst", "enabled": True,
}  # fmt: skip
_NO_NAME: Final = re.compile(r"[^A-Z0-9]+")


def to_toml(directory: Directory) -> str:
    """All that can be used, in the order of names; revoked keys are left out. Empty if there is nothing."""
    variables = set[str]()
    entries = [
        *(("teams", one, None) for one in _sorted(directory.teams.values())),
        *(("people", one, None) for one in sorted(directory.people.values(), key=lambda one: one.email)),
        *(
            ("keys", one, _secret(directory, one, variables))
            for one in _sorted(directory.keys.values())
            if one.status != "revoked"
        ),
        *(("budgets", one, None) for one in _sorted(directory.budgets.values())),
        *(("limits", one, None) for one in _sorted(directory.limits.values())),
    ]
    return "\n".join("".join(_entry(directory, *one)) for one in entries)


def _sorted(records: Iterable[Any]) -> list[Any]:
    return sorted(records, key=lambda one: (one.name.lower(), one.id))


def _entry(directory: Directory, table: str, record: Any, secret: dict[str, str] | None) -> Iterator[str]:
    fields = fields_of(directory, record)
    fields["enabled"] = fields.pop("status") == "active"
    for name in ("managed", "secret"):
        fields.pop(name, None)
    if table == "keys":
        fields = {"name": fields.pop("name"), **(secret or {}), **fields}
        fields["tags"] = [f"{name}={value}" for name, value in fields["tags"].items()]
    if table == "limits":
        fields |= fields.pop("limits")
    yield f"[[accounts.{table}]]\n"
    for name, value in fields.items():
        if value not in (None, "", [], {}) and _DEFAULTS.get(name) != value:
            yield f"{name} = {_value(value)}\n"


def _secret(directory: Directory, key: Key, variables: set[str]) -> dict[str, str]:
    secret = current_secret(directory, key)
    if secret is not None and secret.kind == "sha256":
        return {"sha256": secret.digest.hex()}
    base = f"{_NO_NAME.sub('_', key.name.upper()).strip('_') or 'MODELMUX'}_KEY"
    name, number = base, 1
    while name in variables:
        number += 1
        name = f"{base}_{number}"
    variables.add(name)
    return {"variable": name}


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_value(one)}' for name, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # A basic string of TOML takes the escapes of JSON.
    return json.dumps(value, ensure_ascii=False)
