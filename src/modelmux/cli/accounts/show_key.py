"""A key as JSON and as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelmux.accounts.directory import Directory
from modelmux.accounts.periods import time_text
from modelmux.accounts.records import Key, Secret
from modelmux.cli.accounts.rates import rates_json, rates_text


def key_json(key: Key) -> dict[str, Any]:
    """What the admin API shows of a key, without its secrets."""
    return {
        "id": key.id,
        "name": key.name,
        "status": key.status,
        "team": key.team,
        "person": key.person,
        "models": list(key.models),
        "apis": list(key.apis),
        "addresses": list(key.addresses),
        "tags": dict(key.tags),
        "limits": rates_json(key.limits),
        "created_at": time_text(key.created),
        "created_by": key.created_by,
        "expires_at": time_text(key.expires),
        "revoked_at": time_text(key.revoked),
        "managed": key.managed,
    }


def key_fields(directory: Directory, key: Key, secrets: Sequence[Secret]) -> list[tuple[str, str | None]]:
    """For people; a list that is empty allows all."""
    teams = " / ".join(team.name for team in directory.team_path(key.team))
    return [
        ("id", key.id),
        ("name", key.name),
        ("status", key.status),
        ("team", teams),
        ("person", directory.people[key.person].email if key.person else None),
        ("models", ", ".join(key.models) or "all"),
        ("apis", ", ".join(key.apis) or "all"),
        ("addresses", ", ".join(key.addresses) or "all"),
        ("tags", ", ".join(f"{name}={value}" for name, value in key.tags)),
        ("limits", rates_text(key.limits)),
        ("created", f"{time_text(key.created)} by {key.created_by}"),
        ("expires", time_text(key.expires) or "never"),
        ("revoked", time_text(key.revoked)),
        ("managed", "by the configuration" if key.managed else None),
        *(("secret", _of_secret(secret)) for secret in secrets),
    ]


def _of_secret(secret: Secret) -> str:
    if secret.valid_until is None:
        return f"{secret.hint} from {time_text(secret.created)}"
    return f"{secret.hint} until {time_text(secret.valid_until)}"
