"""Keys and teams of LiteLLM, from the JSON of its ``/key/list?return_full_object=true`` and ``/team/list``.

LiteLLM stores the SHA-256 of a key, which is its ``token``: with it, clients keep their keys. What has no counterpart
here is named in a notice, once for each field, with the number of keys or teams that have it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from modelmux.accounts import fields
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import FieldError
from modelmux.accounts.records import KEY, PERSON, TEAM, Api, Key, Membership, Person, Secret, Team

Object = Mapping[str, Any]
_NAMES_ONLY: Final = "the keys are names only; ask LiteLLM for /key/list?return_full_object=true"
_TOKEN: Final = re.compile(r"[0-9a-f]{64}")
#: Names that stand for all models, or for those of the team.
_ALL: Final = {"all-proxy-models", "*"}
_OF_TEAM: Final = "all-team-models"
#: Routes of LiteLLM -> the API; those that are missing have no counterpart.
_APIS: Final[Mapping[str, Api]] = {
    "/chat/completions": "chat", "/v1/chat/completions": "chat", "/responses": "responses",
    "/v1/responses": "responses", "/v1/messages": "messages", "/vertex-ai": "vertex",
}  # fmt: skip
_EVERY_ROUTE: Final = {"llm_api_routes", "/*", "*"}
_NOT_CARRIED: Final = (
    "max_budget", "budget_duration", "soft_budget", "model_max_budget", "tpm_limit", "rpm_limit",
    "max_parallel_requests", "aliases", "config", "guardrails", "organization_id", "permissions",
)  # fmt: skip


class Imported(Struct, frozen=True):
    """:param notices: what was left out, for people."""

    edit: Edit
    notices: tuple[str, ...]


def read_lists(documents: Iterable[Any]) -> tuple[list[Object], list[Object]]:
    """The keys and the teams of answers of LiteLLM, told apart by their fields.

    :raises ValueError: something is neither.
    """
    keys: list[Object] = []
    teams: list[Object] = []
    for document in documents:
        entries = document.get("keys", document.get("teams")) if isinstance(document, dict) else document
        if not isinstance(entries, list):
            raise ValueError("expected the JSON of /key/list or of /team/list")  # noqa: TRY004 - of what was sent
        for entry in entries:
            if isinstance(entry, str):
                raise ValueError(_NAMES_ONLY)  # noqa: TRY004 - of what was sent
            if not isinstance(entry, dict) or not ("token" in entry or "team_id" in entry):
                raise ValueError("an entry is neither a key nor a team")
            (keys if "token" in entry else teams).append(entry)
    return keys, teams


def import_from_litellm(
    directory: Directory, keys: Sequence[Object], teams: Sequence[Object], new_id: Callable[[str], str], now: int
) -> Imported:
    """What to write. Keys whose secret is known are left as they are, so an import may be repeated.

    :param now: microseconds in UTC.
    :raises FieldError: a value that cannot be stored.
    """
    return _Import(directory, new_id, now).run(keys, teams)


class _Import:
    def __init__(self, directory: Directory, new_id: Callable[[str], str], now: int) -> None:
        self._directory = directory
        self._new_id = new_id
        self._now = now
        self._left_out: Counter[str] = Counter()
        self._teams: dict[str, Team] = {}  # by LiteLLM's id
        self._team_models: dict[str, tuple[str, ...]] = {}
        self._people: dict[str, Person] = {one.email: one for one in directory.people.values()}
        self._emails: dict[str, str] = {}  # by LiteLLM's id of a user
        self._new_people: list[Person] = []
        self._memberships: list[Membership] = []
        self._names = {key.name.lower() for key in directory.keys.values() if key.status != "revoked"}

    def run(self, keys: Sequence[Object], teams: Sequence[Object]) -> Imported:
        known = {team.name.lower(): team for team in self._directory.teams.values()}
        for entry in teams:
            self._add_team(entry, known)
        new_keys = [pair for entry in keys if (pair := self._key(entry)) is not None]
        existing = self._directory.teams
        edit = Edit(
            action="accounts.import",
            subject="litellm",
            teams=[team for team in self._teams.values() if team.id not in existing],
            people=self._new_people,
            memberships=self._memberships,
            keys=[key for key, _ in new_keys],
            secrets=[secret for _, secret in new_keys],
        )
        return Imported(edit, tuple(f"{what} ({count})" for what, count in self._left_out.items()))

    def _add_team(self, entry: Object, known: dict[str, Team]) -> None:
        theirs = str(entry["team_id"])
        name = fields.name("team_alias", str(entry.get("team_alias") or theirs))
        team = known.get(name.lower())
        if team is None:
            status: Any = "disabled" if entry.get("blocked") else "active"
            team = known[name.lower()] = Team(id=self._new_id(TEAM), name=name, status=status)
        self._teams[theirs] = team
        self._team_models[theirs] = self._models(entry, ())
        self._note(entry, "teams")
        for member in entry.get("members_with_roles") or ():
            person = self._person(member.get("user_id"), member.get("user_email"))
            if person is not None:
                role: Any = "team_admin" if member.get("role") == "admin" else "member"
                self._memberships.append(Membership(person=person.id, team=team.id, role=role))

    def _key(self, entry: Object) -> tuple[Key, Secret] | None:
        token = str(entry["token"])
        if _TOKEN.fullmatch(token) is None:
            self._left_out["keys without the hash of their secret are left out"] += 1
            return None
        digest = bytes.fromhex(token)
        if self._directory.secret(digest) is not None:
            return None
        theirs = entry.get("team_id")
        team = self._teams.get(str(theirs)) if theirs else None
        if theirs and team is None:
            self._left_out["team_id of keys: the file of /team/list lacks the team"] += 1
        person = self._person(entry.get("user_id"), None)
        key = Key(
            id=self._new_id(KEY),
            name=self._free_name(str(entry.get("key_alias") or entry.get("key_name") or token[:8])),
            team=team.id if team else None,
            person=person.id if person else None,
            created_by=fields.name("created_by", str(entry.get("created_by") or "litellm")[: fields.MAX_NAME]),
            models=self._models(entry, self._team_models.get(str(theirs), ())),
            apis=self._apis(entry.get("allowed_routes") or ()),
            created=_instant(entry.get("created_at")) or self._now,
            expires=_instant(entry.get("expires")),
            status="disabled" if entry.get("blocked") else "active",
        )
        self._note(entry, "keys")
        hint = str(entry.get("key_name") or "")[:40]
        return key, Secret(digest=digest, key=key.id, kind="sha256", hint=hint, created=key.created)

    def _models(self, entry: Object, of_team: tuple[str, ...]) -> tuple[str, ...]:
        named = [str(model) for model in entry.get("models") or ()]
        if _ALL.intersection(named):
            return ()
        if not named or named == [_OF_TEAM]:
            return of_team
        return fields.models("models", (model for model in named if model != _OF_TEAM))

    def _apis(self, routes: Sequence[Any]) -> tuple[Api, ...]:
        if not routes or _EVERY_ROUTE.intersection(map(str, routes)):
            return ()
        known = tuple(dict.fromkeys(_APIS[route] for route in map(str, routes) if route in _APIS))
        if not known:
            raise FieldError("allowed_routes", f"{list(routes)!r} has no counterpart here", "leave the key out")
        return known

    def _person(self, user_id: Any, email: Any) -> Person | None:
        if not user_id and not email:
            return None
        if email:
            self._emails[str(user_id)] = str(email)
        address = self._emails.get(str(user_id), str(user_id))
        try:
            address = fields.email("user_email", address)
        except FieldError:
            self._left_out["user_id of keys and members: no e-mail address is known for it"] += 1
            return None
        if address not in self._people:
            self._people[address] = Person(id=self._new_id(PERSON), email=address)
            self._new_people.append(self._people[address])
        return self._people[address]

    def _free_name(self, name: str) -> str:
        base = fields.name("key_alias", name[: fields.MAX_NAME - 5])
        free, number = base, 1
        while free.lower() in self._names:
            number += 1
            free = f"{base}-{number}"
        self._names.add(free.lower())
        return free

    def _note(self, entry: Object, what: str) -> None:
        for field in _NOT_CARRIED:
            if entry.get(field):
                self._left_out[f"{field} of {what} is not carried over"] += 1


def _instant(value: Any) -> int | None:
    """ISO 8601, UTC unless it says otherwise -> microseconds. :raises FieldError:"""
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise FieldError("expires", f"{value!r} is not a time", "expected ISO 8601") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)
