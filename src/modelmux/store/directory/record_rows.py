"""Records of the directory as rows of a database, and back: the same in every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import force_setattr

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Changes, Directory, Stamp
from modelmux.accounts.edits import Edit
from modelmux.accounts.rates import Limit
from modelmux.accounts.records import Key, Membership, OwnPrice, Person, Secret, Team
from modelmux.accounts.webhooks import Webhook, shown_url
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import AuditRow, Author

#: Kind of a record -> its type, the field of ``Edit`` and ``Changes`` that has such records, and its id.
_KINDS: Final[dict[str, tuple[type[Struct], str, Callable[[Any], str]]]] = {
    "team": (Team, "teams", lambda team: team.id),
    "person": (Person, "people", lambda person: person.id),
    "membership": (Membership, "memberships", lambda one: f"{one.person}/{one.team}"),
    "key": (Key, "keys", lambda key: key.id),
    "secret": (Secret, "secrets", lambda secret: secret.digest.hex()),
    "budget": (Budget, "budgets", lambda budget: budget.id),
    "adjustment": (Adjustment, "adjustments", lambda one: one.id),
    "limit": (Limit, "limits", lambda limit: limit.id),
    "price": (OwnPrice, "prices", lambda price: price.id),
    "webhook": (Webhook, "webhooks", lambda webhook: webhook.id),
}
_DECODERS: Final = {kind: msgspec.json.Decoder(record) for kind, (record, _, _) in _KINDS.items()}
#: Kind -> fields whose texts many records have in common.
_SHARED: Final = {"key": ("id", "team", "person", "created_by", "models", "tags"), "secret": ("key", "pepper")}
#: Fields of records that are for this gateway alone, and never shown.
HIDDEN: Final = ("digest", "pepper")
_encode: Final = msgspec.json.Encoder().encode


def encode_record(record: Struct) -> str:
    """JSON."""
    return _encode(record).decode()


def read_changes(version: int, stamp: Stamp, texts_of: Callable[[str], Iterable[str]]) -> Changes:
    """The records that a reader lacks.

    :param texts_of: returns those of a kind, as JSON.
    :raises StoreFailed: one cannot be read; the message lacks the database.
    """
    changed: dict[str, list[Any]] = {}
    texts: dict[Any, Any] = {}
    for kind, (_, field, _) in _KINDS.items():
        decode = _DECODERS[kind].decode
        try:
            changed[field] = [_shared(decode(data), _SHARED.get(kind, ()), texts) for data in texts_of(kind)]
        except msgspec.MsgspecError as error:
            raise StoreFailed(f"a {kind} cannot be read: {error}") from None
    return Changes(version=version, stamp=stamp, **changed)


def _shared(record: Any, fields: Sequence[str], texts: dict[Any, Any]) -> Any:
    """The record, with equal texts of all records as one object, which saves a third of the memory of many keys."""
    for field in fields:
        value = getattr(record, field)
        force_setattr(record, field, texts.setdefault(value, value))
    return record


def records(edit: Edit) -> Iterator[tuple[str, str, Struct]]:
    """Kind, id and record of all that an edit writes."""
    for kind, (_, field, id_of) in _KINDS.items():
        for record in getattr(edit, field):
            yield kind, id_of(record), record


def changes_of(edit: Edit, version: int, stamp: Stamp) -> Changes:
    """What an edit writes, as a reader gets it."""
    return Changes(version=version, stamp=stamp, **{field: getattr(edit, field) for _, field, _ in _KINDS.values()})


def audited(before: Directory, edit: Edit) -> tuple[dict[str, Any], dict[str, Any]]:
    """The records that an edit replaces, and those that it writes, without what is for the gateway alone."""
    return (
        _shown((kind, id, before.record(kind, record)) for kind, id, record in records(edit)),
        _shown(records(edit)),
    )


def _shown(records: Any) -> dict[str, Any]:
    shown = {}
    for kind, id, record in records:
        if record is not None:
            fields = msgspec.to_builtins(record)
            for name in HIDDEN:
                fields.pop(name, None)
            if kind == "webhook":  # whoever has the URL may be able to post there
                fields["url"] = shown_url(fields["url"])
            # Hints are for people: those of imported secrets may be equal, or empty.
            shown[f"secret {record.hint} of {record.key}" if kind == "secret" else id] = fields
    return shown


def audit_row(row: Sequence[Any]) -> AuditRow:
    """:param row: the columns of the table ``audit``, ``before`` and ``after`` as JSON, or None if they are cut."""
    number, at, author, origin, action, subject, before, after = row
    return AuditRow(
        number=number, at=at, author=Author(author, origin), action=action, subject=subject,
        before_json=Raw(before or "{}"), after_json=Raw(after or "{}"), is_cut=before is None,
    )  # fmt: skip
