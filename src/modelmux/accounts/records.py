"""Keys, the people and teams that they belong to, and the secrets by which keys are recognized.

A key is what requests are attributed to; its secrets may change, its id stays. Nothing is ever deleted: the ledger
refers to all of it.
"""

from __future__ import annotations

from datetime import date
from typing import Final, Literal

from msgspec import Struct

from modelmux.accounts.rates import Rates

KEY: Final = "key_"
TEAM: Final = "team_"
PERSON: Final = "usr_"

#: ``disabled`` can be undone, ``revoked`` cannot.
KeyStatus = Literal["active", "disabled", "revoked"]
Status = Literal["active", "disabled"]
#: Of a member in a team.
TeamRole = Literal["member", "team_admin"]
#: The APIs that a key may be limited to.
Api = Literal["chat", "responses", "messages", "vertex"]
#: How a secret is stored: an HMAC with the pepper, or the plain SHA-256 that another gateway stored.
HashKind = Literal["hmac", "sha256"]

#: Teams above each other.
MAX_DEPTH: Final = 3


class Team(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A group of people and keys; one without a parent is an organisation.

    :param zone: in which its budgets' windows begin; None for that of ``accounts.zone``.
    :param contact: whom its members ask for more, shown in errors.
    :param limits: of all its keys together, with those of the teams below it.
    :param managed: it comes from the configuration, and only that changes it.
    """

    id: str
    name: str
    parent: str | None = None
    zone: str | None = None
    contact: str | None = None
    limits: Rates | None = None
    status: Status = "active"
    managed: bool = False


class Person(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """
    :param subject: the id at an identity provider. :param limits: of all keys of the person together.
    """

    id: str
    email: str
    name: str = ""
    subject: str | None = None
    limits: Rates | None = None
    status: Status = "active"
    managed: bool = False


class Membership(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A person in a team. :param role: None once the person has left it."""

    person: str
    team: str
    role: TeamRole | None = "member"


class Key(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A virtual key.

    :param team, person: ids; a service key has no person.
    :param created_by: who made it, for people.
    :param models: names of routes and of Claude models, ``*`` stands for any characters; empty for all.
    :param apis: empty for all.
    :param addresses: networks in CIDR notation from which it may be used; empty for all.
    :param tags: what every request of the key has, whatever its client says.
    :param created, expires, revoked: microseconds in UTC.
    :param ends_requests: once it is revoked, requests that run are ended too.
    :param capture: bodies of its requests may be kept, if the gateway keeps any.
    """

    id: str
    name: str
    team: str | None = None
    person: str | None = None
    created_by: str = ""
    models: tuple[str, ...] = ()
    apis: tuple[Api, ...] = ()
    addresses: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    limits: Rates | None = None
    created: int = 0
    expires: int | None = None
    status: KeyStatus = "active"
    revoked: int | None = None
    ends_requests: bool = False
    capture: bool = False
    managed: bool = False


class Secret(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A secret of a key. What it was is not known here.

    :param digest: 32 bytes.
    :param pepper: which one the digest was made with; empty for ``sha256``.
    :param hint: what people recognize it by.
    :param valid_until: microseconds in UTC; None while it is the key's current one.
    """

    digest: bytes
    key: str
    kind: HashKind = "hmac"
    pepper: str = ""
    hint: str = ""
    created: int = 0
    valid_until: int | None = None


class OwnPrice(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Prices of a model from a day on, which an operator has added: decimals in USD per million tokens.

    :param model: its Vertex id.
    :param output, cache_write, cache_write_1h, cache_read: None for the usual multiple of ``input``.
    :param web_search: of 1,000 searches. :param regional_multiplier: anywhere but on ``global``.
    :param has_fast_mode: the model is served in fast mode, at the same prices.
    :param created: microseconds in UTC.
    """

    model: str
    valid_from: date
    input: str
    output: str | None = None
    cache_write: str | None = None
    cache_write_1h: str | None = None
    cache_read: str | None = None
    web_search: str = "10"
    regional_multiplier: str = "1"
    has_fast_mode: bool = False
    created: int = 0
    created_by: str = ""

    @property
    def id(self) -> str:
        return f"{self.model}/{self.valid_from.isoformat()}"
