"""The protocol of the store of alerts: each is there once, is given to the webhooks of its moment, and delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from modelmux.accounts.alert_types import Alert
from modelmux.store.directory.base import Author


class DueDelivery(Struct, frozen=True, kw_only=True):
    """What a webhook has to get.

    :param body: JSON. :param tries: attempts that have begun before this one. :param created: microseconds in UTC.
    """

    id: str
    webhook: str
    body: bytes
    tries: int
    created: int


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt has ended.

    :param at: microseconds in UTC. :param status: of the reply; None if there was none.
    :param problem: None if it was delivered. :param again: when it is tried again; None: never.
    """

    at: int
    status: int | None = None
    problem: str | None = None
    again: int | None = None


class Delivery(Struct, frozen=True, kw_only=True):
    """What a webhook gets or got. Instants are microseconds in UTC.

    :param number: rises with each. :param type: of the event. :param due: of the next attempt; None after the last one.
    :param tries: attempts. :param tried, status, problem: of the last one.
    """

    number: int
    id: str
    webhook: str
    alert: str
    type: str
    created: int
    due: int | None
    tries: int
    tried: int | None
    status: int | None
    problem: str | None


class AlertStore(Protocol):
    """All instants are microseconds in UTC. All but ``aclose`` raise ``StoreFailed``; nothing was written then."""

    async def note(self, alerts: Sequence[Alert], now: int) -> None:
        """Have alerts told, each once: one whose id is there already is ignored."""
        ...

    async def hand_out(self, now: int, webhooks: Mapping[str, frozenset[str] | None]) -> Alert | None:
        """Give the alert that has been due longest to webhooks, of each one delivery, in one transaction.

        :param webhooks: id -> the types that it takes; None for all.
        :returns: the alert, for the log; None if none is due.
        """
        ...

    async def send(self, alert: Alert, webhook: str, now: int, author: Author) -> Delivery:
        """Have one webhook told, and no one else, with a row of the audit log. What is there already stays as it is."""
        ...

    async def told(self, alert: Alert, outcomes: Mapping[str, Outcome]) -> None:
        """Write down what was delivered while the store failed: webhook -> how the last attempt ended."""
        ...

    async def claim(self, now: int, until: int, most: int) -> list[DueDelivery]:
        """Take deliveries that are due, of each webhook the one that has been due longest. They are due again at
        ``until``, for their process may end before."""
        ...

    async def tried(self, delivery: str, outcome: Outcome) -> None:
        """An attempt has ended. After one that failed, nothing else is sent to the webhook before the next one."""
        ...

    async def deliveries(self, webhook: str, before: int | None, limit: int) -> list[Delivery]:
        """The newest first. :param before: number of the last one of the page before."""
        ...

    async def last(self, webhooks: Sequence[str]) -> Mapping[str, Delivery]:
        """The newest delivery of each webhook that was tried."""
        ...

    async def forget(self, before: int) -> None:
        """Delete deliveries that ended, and were created before an instant. What was told stays known."""
        ...
