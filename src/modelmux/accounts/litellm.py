"""Keys and teams of LiteLLM, from the JSON of its ``/key/list?return_full_object=true`` and ``/team/list``.

LiteLLM stores the SHA-256 of a key, which is its ``token``: with it, clients keep their keys. No key gets rights that
it does not have there: one whose limits are not known is disabled, an entry that cannot be used is left out. What has
no counterpart here is named in a notice, once for each field, with the number of keys or teams that have it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from modelmux.accounts import fields
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import FieldError
from modelmux.accounts.litellm_entries import (
    NOTHING,
    OF_TEAM,
    Object,
    TheirKey,
    TheirMember,
    TheirTeam,
    allowed_by,
    allowed_by_both,
    apis_of,
    limits_of,
)
from modelmux.accounts.periods import parse_instant
from modelmux.accounts.records import KEY, PERSON, TEAM, Key, Membership, Person, Secret, Team
from modelmux.accounts.unique_names import UniqueNames

T = TypeVar("T", TheirKey, TheirTeam)
#: Characters of a secret's hint.
_HINT: Final = 40
_TOKEN: Final = re.compile(r"[0-9a-f]{64}")
_NOT_CARRIED: Final = (
    "max_budget", "budget_duration", "soft_budget", "model_max_budget", "model_rpm_limit",
    "model_tpm_limit", "aliases", "config", "guardrails", "organization_id", "permissions", "budget_id",
    "access_group_ids", "object_permission", "allowed_model_region",
)  # fmt: skip
_NO_TEAM: Final = "keys are disabled: the file of /team/list lacks their team, whose limits are not known"
_NO_TEAM_MODELS: Final = f"keys are disabled: they have {OF_TEAM}, and no team"
_NO_MODEL: Final = "keys may use no model, as in LiteLLM: their own models and those of their team have none in common"
_BLOCKED_TEAM: Final = "keys are disabled: their team is blocked in LiteLLM, and a team of this name is active here"
_OF_USER: Final = "keys of a user without a team may use all models: the models of users are not in these lists"
_NO_EMAIL: Final = "user_id of keys and members: no e-mail address is known for it"
_ROUTES: Final = "routes of keys have no counterpart here"


class Imported(Struct, frozen=True):
    """
    :param notices: what differs from LiteLLM, for people.
    :param left_out: entries that were not imported, each with its name and why.
    """

    edit: Edit
    notices: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def import_from_litellm(
    directory: Directory, keys: Sequence[Object], teams: Sequence[Object], new_id: Callable[[str], str], now: int
) -> Imported:
    """What to write. Keys whose secret is known are left as they are, so an import may be repeated.

    :param now: microseconds in UTC.
    """
    return _Import(directory, new_id, now).run(keys, teams)


class _TeamHere(Struct, frozen=True):
    """:param models: see ``allowed_by``. :param blocked: in LiteLLM."""

    record: Team
    models: tuple[str, ...] | None
    blocked: bool


class _Import:
    def __init__(self, directory: Directory, new_id: Callable[[str], str], now: int) -> None:
        self._directory = directory
        self._new_id = new_id
        self._now = now
        self._counts: Counter[str] = Counter()
        self._left_out: list[str] = []
        self._known_teams = {team.name.lower(): team for team in directory.teams.values()}
        self._team_names = UniqueNames(set())
        self._teams: dict[str, _TeamHere] = {}  # by LiteLLM's id
        self._people: dict[str, Person] = {one.email: one for one in directory.people.values()}
        self._emails: dict[str, str] = {}  # by LiteLLM's id of a user
        self._memberships: list[Membership] = []
        self._keys: list[Key] = []
        self._secrets: list[Secret] = []
        self._key_names = UniqueNames({key.name.lower() for key in directory.keys.values() if key.status != "revoked"})

    def run(self, keys: Sequence[Object], teams: Sequence[Object]) -> Imported:
        self._each("team", teams, TheirTeam, lambda team: team.team_id, self._add_team)
        self._each("key", keys, TheirKey, lambda key: key.token, self._add_key)
        known = self._directory
        edit = Edit(
            action="accounts.import",
            subject="litellm",
            teams=[one.record for one in self._teams.values() if one.record.id not in known.teams],
            people=[person for person in self._people.values() if person.id not in known.people],
            memberships=self._memberships,
            keys=self._keys,
            secrets=self._secrets,
        )
        notices = tuple(f"{what} ({count})" for what, count in self._counts.items())
        return Imported(edit, notices, tuple(self._left_out))

    def _each(
        self, kind: str, entries: Sequence[Object], type: type[T], id_of: Callable[[T], str], add: Callable[[T], bool]
    ) -> None:
        """Add entries; one that cannot be used is left out, with all of it."""
        seen: dict[str, T] = {}
        for entry in entries:
            try:
                theirs = msgspec.convert(entry, type)
                if _is_first(seen, id_of(theirs), theirs) and add(theirs):
                    self._note(entry, f"{kind}s")
            except (FieldError, msgspec.ValidationError) as error:
                self._left_out.append(f"{kind} {_name_of(entry)}: {error}")

    def _add_team(self, theirs: TheirTeam) -> bool:
        """Whether it is in use in LiteLLM. :raises FieldError:"""
        name = fields.name("team_alias", theirs.team_alias or theirs.team_id)
        if theirs.deleted_at:
            raise FieldError("deleted_at", "it is deleted", "its keys are disabled")
        limits = limits_of(theirs)
        name = self._team_names.take(name)
        record = self._known_teams.get(name.lower())
        if record is None:
            status: Any = "disabled" if theirs.blocked else "active"
            record = Team(id=self._new_id(TEAM), name=name, status=status, limits=limits)
        self._teams[theirs.team_id] = _TeamHere(record, allowed_by(theirs.models), bool(theirs.blocked))
        for member in theirs.members_with_roles or ():
            self._add_member(record, member)
        return True

    def _add_member(self, team: Team, member: TheirMember) -> None:
        if member.user_email and member.user_id:
            self._emails[member.user_id] = member.user_email
        person = self._person(member.user_email or member.user_id)
        if person is not None:
            role: Any = "team_admin" if member.role == "admin" else "member"
            self._memberships.append(Membership(person=person.id, team=team.id, role=role))

    def _add_key(self, theirs: TheirKey) -> bool:
        """Whether it is new. :raises FieldError:"""
        if _TOKEN.fullmatch(theirs.token) is None:
            raise FieldError("token", "it is not the SHA-256 of a secret", "expected 64 hexadecimal digits")
        if theirs.deleted_at:
            raise FieldError("deleted_at", "it is deleted", "nothing accepts it any more")
        digest = bytes.fromhex(theirs.token)
        if self._directory.secret(digest) is not None:
            return False
        limits = limits_of(theirs)
        models = self._models(theirs)
        apis, without = apis_of(theirs.allowed_routes)
        created = _instant("created_at", theirs.created_at) or self._now
        expires = _instant("expires", theirs.expires)
        created_by = fields.name("created_by", (theirs.created_by or "litellm")[: fields.MAX_NAME])
        name = fields.name("key_alias", (theirs.key_alias or theirs.key_name or theirs.token[:8])[: fields.MAX_NAME])
        team = self._teams.get(theirs.team_id) if theirs.team_id else None
        person = self._person(self._emails.get(theirs.user_id, theirs.user_id) if theirs.user_id else None)
        key = Key(
            id=self._new_id(KEY), name=self._key_names.take(name), team=team.record.id if team else None,
            person=person.id if person else None, created_by=created_by, models=models, apis=apis, created=created,
            expires=expires, limits=limits, status="disabled" if self._is_disabled(theirs, team) else "active",
        )  # fmt: skip
        self._keys.append(key)
        hint = (theirs.key_name or "")[:_HINT]
        hint = hint if hint.isprintable() else ""
        self._secrets.append(Secret(digest=digest, key=key.id, kind="sha256", hint=hint, created=created))
        self._count(_ROUTES, without)
        self._count(_NO_MODEL, models == NOTHING != theirs.models)
        self._count(_OF_USER, not (theirs.team_id or models) and bool(theirs.user_id))
        return True

    def _models(self, theirs: TheirKey) -> tuple[str, ...]:
        """:raises FieldError:"""
        team = self._teams.get(theirs.team_id) if theirs.team_id else None
        return fields.models("models", allowed_by_both(allowed_by(theirs.models), team.models if team else None))

    def _is_disabled(self, theirs: TheirKey, team: _TeamHere | None) -> bool:
        """Whether the key is blocked, or what it may do is not known."""
        reasons = {
            _NO_TEAM: bool(theirs.team_id) and team is None,
            _NO_TEAM_MODELS: not theirs.team_id and OF_TEAM in (allowed_by(theirs.models) or ()),
            _BLOCKED_TEAM: team is not None and team.blocked and team.record.status == "active",
        }
        for what, applies in reasons.items():
            self._count(what, applies)
        return bool(theirs.blocked) or any(reasons.values())

    def _person(self, address: str | None) -> Person | None:
        if not address:
            return None
        try:
            email = fields.email("user_email", address)
        except FieldError:
            self._count(_NO_EMAIL)
            return None
        if email not in self._people:
            self._people[email] = Person(id=self._new_id(PERSON), email=email)
        return self._people[email]

    def _note(self, entry: Object, what: str) -> None:
        for field in _NOT_CARRIED:
            self._count(f"{field} of {what} is not carried over", bool(entry.get(field)))

    def _count(self, what: str, number: int = 1) -> None:
        if number:
            self._counts[what] += number


def _is_first(seen: dict[str, T], id: str, theirs: T) -> bool:
    """Whether nothing before has this id; equal entries are one, such as at the seam of two pages.

    :raises FieldError: they differ.
    """
    first = seen.setdefault(id, theirs)
    if first != theirs:
        raise FieldError("entry", "it is there twice, and the two differ", "the first one counts")
    return first is theirs


def _name_of(entry: Object) -> str:
    """What people know a key or team by."""
    names = (entry.get(field) for field in ("key_alias", "team_alias", "key_name", "token", "team_id"))
    return repr(str(next(filter(None, names), "without a name"))[: fields.MAX_NAME])


def _instant(field: str, value: str | None) -> int | None:
    """ISO 8601, UTC unless it says otherwise -> microseconds. :raises FieldError:"""
    if not value:
        return None
    try:
        instant = parse_instant(value)
    except ValueError:
        raise FieldError(field, f"{value[: fields.MAX_NAME]!r} is not a time", "expected ISO 8601") from None
    return fields.instant(field, instant)
