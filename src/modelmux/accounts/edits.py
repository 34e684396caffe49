"""Changes of the directory, decided from the directory as it is: pure, so that a store can run them under its lock.

Each returns what to write. The rules: names are unique among what can be used, references exist, a managed record is
changed by the configuration only, a revoked key stays revoked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts import fields
from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.accounts.rates import Limit
from modelmux.accounts.records import MAX_DEPTH, Key, Membership, OwnPrice, Person, Secret, Team, TeamRole
from modelmux.accounts.webhooks import Webhook

R = TypeVar("R", Team, Person, Key, Budget, Limit, Webhook)
#: Field -> the check that its values pass.
_CHECKS: Final[Mapping[str, Any]] = {
    "name": fields.name, "email": fields.email, "zone": fields.zone, "contact": fields.name, "models": fields.models,
    "apis": fields.apis, "addresses": fields.addresses, "tags": fields.tags, "expires": fields.instant,
    "limits": fields.rates,
}  # fmt: skip
MANAGED: Final = "change it in the configuration file, which it comes from"
#: Microseconds.
DAY: Final = 24 * 3600 * 1_000_000


class Edit(Struct, frozen=True, kw_only=True):
    """What to write: records that are new or replace those of the same id, and what the audit log says of it.

    :param action: ``key.create`` and so on.
    :param subject: id of the record that the action is about.
    """

    action: str
    subject: str
    teams: Sequence[Team] = ()
    people: Sequence[Person] = ()
    memberships: Sequence[Membership] = ()
    keys: Sequence[Key] = ()
    secrets: Sequence[Secret] = ()
    budgets: Sequence[Budget] = ()
    adjustments: Sequence[Adjustment] = ()
    limits: Sequence[Limit] = ()
    prices: Sequence[OwnPrice] = ()
    webhooks: Sequence[Webhook] = ()

    @property
    def is_empty(self) -> bool:
        return not (
            self.teams or self.people or self.memberships or self.keys or self.secrets or self.budgets
            or self.adjustments or self.limits or self.prices or self.webhooks
        )  # fmt: skip


def save_team(directory: Directory, team: Team, *, by_config: bool = False) -> Edit:
    """A new team, or one with other fields.

    :param by_config: whoever writes the configuration's teams checks their parents, once all of them are known.
    :raises FieldError:
    """
    team = _checked(directory.teams.get(team.id), team, by_config=by_config)
    check_unique("name", team, team.name, {one.id: one.name for one in directory.teams.values()})
    if not by_config:
        check_parent(directory, team)
    return Edit(action=action_of("team", directory.teams, team), subject=team.id, teams=(team,))


def save_person(directory: Directory, person: Person, *, by_config: bool = False) -> Edit:
    """A new person, or one with other fields. :raises FieldError:"""
    person = _checked(directory.people.get(person.id), person, by_config=by_config)
    check_unique("email", person, person.email, {one.id: one.email for one in directory.people.values()})
    return Edit(action=action_of("person", directory.people, person), subject=person.id, people=(person,))


def save_key(directory: Directory, key: Key, secret: Secret | None = None, *, by_config: bool = False) -> Edit:
    """A new key with its secret, or one with other fields.

    :raises FieldError:
    """
    before = directory.keys.get(key.id)
    key = _checked(before, key, by_config=by_config)
    if before is not None and before.status == "revoked":
        raise RecordConflict("revoked", "status", f"the key {before.name!r} is revoked for good", "create another one")
    names = {one.id: one.name for one in directory.keys.values() if one.status != "revoked"}
    check_unique("name", key, key.name, names)
    if key.team is not None and key.team not in directory.teams:
        raise FieldError("team", f"there is no team {key.team!r}", "create it first")
    if key.person is not None and key.person not in directory.people:
        raise FieldError("person", f"there is no person {key.person!r}", "create it first")
    if not by_config and key.expires is not None and key.expires <= key.created:  # a file outlives what it names
        raise FieldError("expires", "it is in the past", "expected a time to come")
    secrets = () if secret is None else (secret,)
    return Edit(action=action_of("key", directory.keys, key), subject=key.id, keys=(key,), secrets=secrets)


def set_member(directory: Directory, person: str, team: str, role: TeamRole | None) -> Edit:
    """Make a person a member of a team, with a role; or none with None."""
    change = Membership(person=directory.people[person].id, team=directory.teams[team].id, role=role)
    return Edit(action="team.member" if role else "team.leave", subject=team, memberships=(change,))


def rotate_key(directory: Directory, key: str, secret: Secret, grace: int) -> Edit:
    """Give a key another secret; those of before stay valid for a while.

    :param grace: microseconds; 0 ends them now.
    :raises FieldError: the key is revoked or managed, or the grace ends too late to be written.
    """
    record = _usable(directory, key)
    until = fields.instant("grace", secret.created + grace)
    ending = [
        replace(old, valid_until=until)
        for old in directory.secrets_of(key)
        if old.valid_until is None or old.valid_until > until
    ]
    return Edit(action="key.rotate", subject=record.id, secrets=(*ending, secret))


def replace_secret(directory: Directory, key: str, digest: bytes, secret: Secret) -> Edit:
    """Give a key another secret in place of its current one, which reached no client, and ends now.

    :param digest: of the current one.
    :raises FieldError: the key is revoked or managed, or its current secret is another one.
    """
    record = _usable(directory, key)
    current = next((one for one in directory.secrets_of(key) if one.valid_until is None), None)
    if current is None or current.digest != digest:
        problem = f"{record.name!r} was given another secret since"
        raise RecordConflict("rotated", "key", problem, "rotate it with another Idempotency-Key")
    ended = replace(current, valid_until=secret.created)
    return Edit(action="key.rotate", subject=key, secrets=(ended, secret))


def revoke_key(directory: Directory, key: str, now: int, *, ends_requests: bool = False) -> Edit:
    """End a key for good. Twice is as good as once: nothing is written then.

    :param ends_requests: end its requests that run, too; also later, of a key that is revoked already.
    :raises FieldError: the key is managed.
    """
    record = directory.keys[key]
    if record.status != "revoked":
        record = replace(_usable(directory, key), status="revoked", revoked=now, ends_requests=ends_requests)
    elif ends_requests and not record.ends_requests:
        record = replace(record, ends_requests=True)
    else:
        return Edit(action="key.revoke", subject=key)
    return Edit(action="key.revoke", subject=key, keys=(record,))


def _usable(directory: Directory, key: str) -> Key:
    record = directory.keys[key]
    if record.managed:
        raise RecordConflict("managed", "key", f"{record.name!r} is managed", MANAGED)
    if record.status == "revoked":
        raise RecordConflict("revoked", "key", f"{record.name!r} is revoked for good", "create another one")
    return record


def _checked(before: R | None, after: R, *, by_config: bool) -> R:
    """The record with its fields as they are stored."""
    if before is not None and before.managed and not by_config:
        raise RecordConflict("managed", "id", f"{before.id} is managed", MANAGED)
    checked = {}
    for field in after.__struct_fields__:
        value = getattr(after, field)
        is_empty = value in (None, ()) or (value == "" and field == "name" and isinstance(after, Person))
        if field in _CHECKS and not is_empty:
            checked[field] = _CHECKS[field](field, value)
    return replace(after, managed=by_config, **checked)


def check_unique(field: str, record: R, value: str, values: Mapping[str, str]) -> None:
    """:param values: id -> value of all records that can be used. :raises FieldError:"""
    lower = value.lower()
    other = next((id for id, known in values.items() if id != record.id and known.lower() == lower), None)
    if other is not None:
        raise RecordConflict("taken", field, f"{value!r} is taken by {other}", "choose another one, or edit that")


def check_parent(directory: Directory, team: Team) -> None:
    """Whether a team may be below its parent. The directory may have circles. :raises FieldError:"""
    if team.parent is None:
        return
    if team.parent not in directory.teams:
        raise FieldError("parent", f"there is no team {team.parent!r}", "create it first")
    above = [one.id for one in directory.team_path(team.parent)]
    if team.id in above:
        raise FieldError("parent", f"{directory.teams[team.parent].name!r} is below this team", "choose another one")
    if len(above) + _height(directory, team.id) > MAX_DEPTH:
        raise FieldError("parent", f"teams would be more than {MAX_DEPTH} deep", "choose a team further up")


def _height(directory: Directory, team: str) -> int:
    """Teams from this one down to the lowest; at most ``MAX_DEPTH``, as in a circle there is no lowest."""
    height, level = 0, {team}
    while level and height < MAX_DEPTH:
        height, level = height + 1, {one.id for one in directory.teams.values() if one.parent in level}
    return height


def action_of(kind: str, known: Mapping[str, object], record: R) -> str:
    """``team.create`` or ``team.edit``, and so on."""
    return f"{kind}.{'edit' if record.id in known else 'create'}"
