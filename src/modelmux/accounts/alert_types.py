"""What webhooks and the log are told of, one struct for each type: the body of a webhook is its JSON."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct

from modelmux.accounts.budgets import Unit

#: What a webhook may be for.
EventType = Literal["budget.threshold", "key.expiring", "requests.in_doubt", "ledger.lag"]
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Hexadecimal digits of an id.
_DIGITS: Final = 26


class BudgetName(Struct, frozen=True):
    id: str
    name: str


class KeyName(Struct, frozen=True):
    """:param team, person: ids."""

    id: str
    name: str
    team: str | None = None
    person: str | None = None


class AlertWindow(Struct, frozen=True):
    """RFC 3339; ``end`` is None for a lifetime."""

    start: str
    end: str | None


class BudgetAlert(Struct, frozen=True, kw_only=True, tag_field="type", tag="budget.threshold"):
    """One threshold that a window has reached.

    :param id: the same for every delivery.
    :param at: RFC 3339. :param subject: whose window it is, empty if the budget has one for all.
    :param percent: the threshold. :param refused: it is told because a request did not fit.
    :param limit, spent: plain decimals in the unit of the budget.
    """

    id: str
    at: str
    budget: BudgetName
    subject: str
    window: AlertWindow
    percent: int
    refused: bool
    unit: Unit
    limit: str
    spent: str

    @property
    def message(self) -> str:
        """For people."""
        of = f" of {self.subject}" if self.subject else ""
        unit = "USD" if self.unit == "usd" else self.unit
        amounts = f"{self.spent} of {self.limit} {unit} are spent"
        if self.refused:
            return f"the budget {self.budget.name!r}{of} has refused a request: {amounts}"
        return f"the budget {self.budget.name!r}{of} has reached {self.percent} %: {amounts}"


class KeyAlert(Struct, frozen=True, kw_only=True, tag_field="type", tag="key.expiring"):
    """A key expires soon.

    :param at, expires_at: RFC 3339. :param days: it has so many days left, at most.
    """

    id: str
    at: str
    key: KeyName
    expires_at: str
    days: int

    @property
    def message(self) -> str:
        """For people."""
        days = "1 day" if self.days == 1 else f"{self.days} days"
        return f"the key {self.key.name!r} expires within {days}, at {self.expires_at}"


class InDoubtAlert(Struct, frozen=True, kw_only=True, tag_field="type", tag="requests.in_doubt"):
    """A process was killed, and what some of its requests cost is not known: they are charged what they may have cost.

    :param process: the name of its host, its number, and a random text.
    :param requests: rows in doubt. :param cost: of these, in USD.
    :param windows: of budgets for which the rest of a lease counts as spent.
    """

    id: str
    at: str
    process: str
    requests: int
    cost: str
    windows: int

    @property
    def message(self) -> str:
        """For people."""
        return (
            f"a process was killed: {self.requests} requests are in doubt and charged {self.cost} USD, "
            f"and leases on {self.windows} windows of budgets count as spent"
        )


class LagAlert(Struct, frozen=True, kw_only=True, tag_field="type", tag="ledger.lag"):
    """Rows of requests wait for the ledger.

    :param host: its name. :param waiting: rows. :param seconds: for which the oldest has waited.
    :param failing: the ledger cannot be written.
    """

    id: str
    at: str
    host: str
    waiting: int
    seconds: int
    failing: bool

    @property
    def message(self) -> str:
        """For people."""
        cause = "the ledger cannot be written" if self.failing else "the ledger is slow"
        return f"{cause} on {self.host}: {self.waiting} rows wait, the oldest for {self.seconds} s"


class WebhookTest(Struct, frozen=True, kw_only=True, tag_field="type", tag="webhook.test"):
    """Sent to one webhook because someone has asked for it."""

    id: str
    at: str
    webhook: str

    @property
    def message(self) -> str:
        """For people."""
        return "a test of a webhook"


Alert = BudgetAlert | KeyAlert | InDoubtAlert | LagAlert | WebhookTest
encode_alert: Final = msgspec.json.Encoder().encode
decode_alert: Final = msgspec.json.Decoder(Alert).decode


def type_of(alert: Alert) -> str:
    """``budget.threshold`` and so on."""
    return str(alert.__struct_config__.tag)


def alert_id(*parts: str) -> str:
    """The id of what is told once, from what makes it different from all else."""
    return f"alert_{_digest(parts)}"


def delivery_id(webhook: str, alert: str) -> str:
    """The id of what one webhook gets of an alert, the same for every attempt."""
    return f"dlv_{_digest((webhook, alert))}"


def alert_time(at: int) -> str:
    """:param at: microseconds in UTC. :returns: RFC 3339."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat().replace("+00:00", "Z")


def _digest(parts: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
