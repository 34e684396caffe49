"""What the command line and the admin API show of webhooks: never a secret, but for the one reply that creates it."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import asdict

from modelmux.accounts.alert_types import EventType, alert_time
from modelmux.accounts.webhooks import Webhook, WebhookStatus, shown_url

DeliveryStatus = Literal["pending", "delivered", "failed"]


class Delivered(Protocol):
    """What a store knows of a delivery. Instants are microseconds in UTC."""

    @property
    def id(self) -> str: ...
    @property
    def alert(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def due(self) -> int | None: ...
    @property
    def tries(self) -> int: ...
    @property
    def tried(self) -> int | None: ...
    @property
    def status(self) -> int | None: ...
    @property
    def problem(self) -> str | None: ...


class DeliveryView(Struct, frozen=True, kw_only=True):
    """What a webhook gets or got.

    :param id: the header ``x-modelmux-delivery`` of every attempt. :param event: id of the event, its ``id``.
    :param attempts: that have begun. :param tried_at, response_status, problem: of the last one that ended.
    :param next_attempt_at: null after the last one.
    """

    id: str
    event: str
    type: str
    status: DeliveryStatus
    created_at: str
    attempts: int
    tried_at: str | None
    response_status: int | None
    problem: str | None
    next_attempt_at: str | None


class WebhookView(Struct, frozen=True, kw_only=True):
    """A webhook.

    :param url: of one that is managed, without what may be a secret. :param events: empty for all.
    :param hint: what its secret is recognized by; null if nothing is signed, or for one that is managed.
    :param last_delivery: the newest that was tried.
    """

    id: str
    name: str
    url: str
    events: list[EventType]
    status: WebhookStatus
    hint: str | None
    created_at: str | None
    created_by: str
    managed: bool
    last_delivery: DeliveryView | None


class NewWebhookView(WebhookView, frozen=True, kw_only=True):
    """A webhook that was created. :param secret: signs what it gets; shown this once."""

    secret: str


def delivery_view(delivery: Delivered) -> DeliveryView:
    """A delivery as it is shown."""
    return DeliveryView(
        id=delivery.id,
        event=delivery.alert,
        type=delivery.type,
        status="pending" if delivery.due is not None else "delivered" if delivery.problem is None else "failed",
        created_at=alert_time(delivery.created),
        attempts=delivery.tries,
        tried_at=_time(delivery.tried),
        response_status=delivery.status,
        problem=delivery.problem,
        next_attempt_at=_time(delivery.due),
    )


def webhook_view(webhook: Webhook, last: Delivered | None) -> WebhookView:
    """A webhook as it is shown."""
    return WebhookView(
        id=webhook.id,
        name=webhook.name,
        url=shown_url(webhook.url) if webhook.managed else webhook.url,
        events=list(webhook.events),
        status=webhook.status,
        hint=webhook.hint or None,
        created_at=alert_time(webhook.created) if webhook.created else None,
        created_by=webhook.created_by,
        managed=webhook.managed,
        last_delivery=None if last is None else delivery_view(last),
    )


def new_webhook_view(webhook: Webhook, secret: str) -> NewWebhookView:
    """One that was created, with its secret."""
    return NewWebhookView(**asdict(webhook_view(webhook, None)), secret=secret)


def _time(at: int | None) -> str | None:
    return None if at is None else alert_time(at)
