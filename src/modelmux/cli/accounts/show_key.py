"""A key as lines for people."""

from __future__ import annotations

from collections.abc import Sequence

from modelmux.accounts.directory import Directory
from modelmux.accounts.records import Key, Secret
from modelmux.accounts.views import time_text
from modelmux.cli.accounts.rates import rates_text


def status_text(key: Key, now: int) -> str:
    """Whether it may be used now, for people. :param now: microseconds in UTC."""
    return "expired" if key.status == "active" and key.expires is not None and key.expires <= now else key.status


def key_fields(directory: Directory, key: Key, secrets: Sequence[Secret], now: int) -> list[tuple[str, str | None]]:
    """For people; a list that is empty allows all. :param now: microseconds in UTC."""
    teams = " / ".join(team.name for team in directory.team_path(key.team))
    return [
        ("id", key.id),
        ("name", key.name),
        ("status", status_text(key, now)),
        ("team", teams),
        ("person", directory.people[key.person].email if key.person else None),
        ("models", ", ".join(key.models) or "all"),
        ("apis", ", ".join(key.apis) or "all"),
        ("addresses", ", ".join(key.addresses) or "all"),
        ("tags", ", ".join(f"{name}={value}" for name, value in key.tags)),
        ("limits", rates_text(key.limits)),
        ("capture", "bodies of its requests may be kept" if key.capture else None),
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
