"""What is read of LiteLLM's keys and teams, and what its lists of models and routes mean here.

A key may use what both its own list and that of its team allow. Of the special names, ``all-proxy-models`` and ``*``
allow all, ``all-team-models`` leaves it to the team, and ``no-default-models`` allows nothing: no model has this name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from modelmux.accounts import fields
from modelmux.accounts.fields import FieldError
from modelmux.accounts.name_pattern import matches_any
from modelmux.accounts.rates import Rates
from modelmux.accounts.records import Api

Object = Mapping[str, Any]
NOTHING: Final = ("no-default-models",)
OF_TEAM: Final = "all-team-models"
_ALL: Final = {"all-proxy-models", "*"}
_NAMES_ONLY: Final = "the keys are names only; ask LiteLLM for /key/list?return_full_object=true"
#: Routes of LiteLLM, and groups of them -> the APIs; those that are missing have no counterpart.
_APIS: Final[Mapping[str, tuple[Api, ...]]] = {
    "/chat/completions": ("chat",), "/v1/chat/completions": ("chat",), "/responses": ("responses",),
    "/v1/responses": ("responses",), "/v1/messages": ("messages",), "/vertex-ai": ("vertex",),
    "openai_routes": ("chat", "responses"), "anthropic_routes": ("messages",),
}  # fmt: skip
_EVERY_ROUTE: Final = {"llm_api_routes", "/*", "*"}


class TheirKey(Struct, frozen=True):
    """:param token: the SHA-256 of the secret, in hexadecimal digits."""

    token: str
    key_alias: str | None = None
    key_name: str | None = None
    team_id: str | None = None
    user_id: str | None = None
    created_by: str | None = None
    created_at: str | None = None
    expires: str | None = None
    deleted_at: str | None = None
    blocked: bool | None = None
    models: tuple[str, ...] | None = None
    allowed_routes: tuple[str, ...] | None = None
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    max_parallel_requests: int | None = None


class TheirMember(Struct, frozen=True):
    role: str | None = None
    user_id: str | None = None
    user_email: str | None = None


class TheirTeam(Struct, frozen=True):
    team_id: str
    team_alias: str | None = None
    deleted_at: str | None = None
    blocked: bool | None = None
    models: tuple[str, ...] | None = None
    members_with_roles: tuple[TheirMember, ...] | None = None
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    max_parallel_requests: int | None = None


def limits_of(theirs: TheirKey | TheirTeam) -> Rates | None:
    """Their limits; None without any. :raises FieldError: one of 0, which allows nothing there."""
    named = {
        "rpm_limit": ("rpm", theirs.rpm_limit), "tpm_limit": ("tpm", theirs.tpm_limit),
        "max_parallel_requests": ("concurrent", theirs.max_parallel_requests),
    }  # fmt: skip
    for field, (_, limit) in named.items():
        if limit is not None and limit <= 0:
            raise FieldError(field, f"{limit} allows nothing", "disable the key in place of it")
    return fields.rates("limits", Rates(**dict(named.values())))


class Lists(Struct, frozen=True):
    """:param left_out: what is neither a key nor a team, for people."""

    keys: Sequence[Object]
    teams: Sequence[Object]
    left_out: Sequence[str] = ()


def read_lists(documents: Iterable[tuple[str, Any]]) -> Lists:
    """The keys and the teams of answers of LiteLLM, told apart by their fields.

    :param documents: each with a name for people.
    :raises ValueError: a document is neither list.
    """
    lists = Lists([], [], [])
    for name, document in documents:
        entries = document.get("keys", document.get("teams")) if isinstance(document, dict) else document
        if not isinstance(entries, list):
            raise ValueError(f"{name}: expected the JSON of /key/list or of /team/list")  # noqa: TRY004 - of what was sent
        if entries and all(isinstance(entry, str) for entry in entries):
            raise ValueError(f"{name}: {_NAMES_ONLY}")
        for number, entry in enumerate(entries, 1):
            kind = _kind(entry)
            if kind is None:
                lists.left_out.append(f"entry {number} of {name}: it is neither a key nor a team")  # type: ignore[attr-defined]
            else:
                getattr(lists, kind).append(entry)
    return lists


def _kind(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    return "keys" if "token" in entry else "teams" if "team_id" in entry else None


def allowed_by(models: Sequence[str] | None) -> tuple[str, ...] | None:
    """What one list allows: names and patterns; None for all."""
    return None if not models or _ALL.intersection(models) else tuple(dict.fromkeys(models))


def allowed_by_both(key: tuple[str, ...] | None, team: tuple[str, ...] | None) -> tuple[str, ...]:
    """What a key with a team may use, as ``Key.models`` has it. Of two patterns that overlap, nothing is taken unless
    one of them is within the other.

    :param key, team: see ``allowed_by``.
    """
    if key is None or OF_TEAM in key:
        return team or ()
    if team is None:
        return key
    return (*dict.fromkeys((*_within(key, team), *_within(team, key))),) or NOTHING


def _within(names: tuple[str, ...], patterns: tuple[str, ...]) -> list[str]:
    """A pattern that another one matches, letter by letter, is within it."""
    exact, wide = set(patterns), [pattern for pattern in patterns if "*" in pattern]
    return [name for name in names if name in exact or matches_any(name, wide)]


def apis_of(routes: Sequence[str] | None) -> tuple[tuple[Api, ...], int]:
    """The APIs of a key's routes, empty for all, and how many routes have no counterpart.

    :raises FieldError: none has one.
    """
    if not routes or _EVERY_ROUTE.intersection(routes):
        return (), 0
    known = dict.fromkeys(api for route in routes for api in _APIS.get(route, ()))
    if not known:
        raise FieldError("allowed_routes", f"{list(routes)!r} has no counterpart here", "the key would have no API")
    return tuple(known), sum(route not in _APIS for route in routes)
