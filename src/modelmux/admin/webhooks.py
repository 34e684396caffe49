"""``/webhooks``: who is told of events, and what each was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from modelmux.accounts.alert_types import EventType, WebhookTest, alert_id, alert_time
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import MANAGED, Edit
from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.accounts.records import Status
from modelmux.accounts.secret_format import hint_of
from modelmux.accounts.webhook_edits import delete_webhook, save_webhook
from modelmux.accounts.webhook_views import DeliveryView, NewWebhookView, WebhookView, delivery_view, new_webhook_view
from modelmux.accounts.webhook_views import webhook_view as view_of
from modelmux.accounts.webhooks import CONFIGURED, WEBHOOK, Webhook
from modelmux.admin.errors import AccountsUnavailable, no_record
from modelmux.admin.operation import Call, ListParams, NoParams, Operation, Page, Reply, page_of
from modelmux.admin.writes import change, changed_fields, check_match, etag_of
from modelmux.gateway.metering.webhook_guard import checked_target

_TEST: Final = "webhook.test"


class WebhookForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new webhook. :param events: that it is told of; an empty list for all."""

    name: str
    url: str
    events: list[EventType] = []


class WebhookPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a webhook."""

    name: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    events: list[EventType] | UnsetType = UNSET
    status: Status | UnsetType = UNSET


class DeliveryParams(ListParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of what a webhook got, the newest first. :param after: ``next`` of the page before."""


async def list_webhooks(call: Call) -> Reply:
    page: Page[Webhook] = page_of(_all(call, await call.read()).values(), call.params, lambda one: one)
    last = await call.backend.ledger.alerts.last([one.id for one in page.data])
    data = [view_of(one, last.get(one.id)) for one in page.data]
    return Reply(Page(data=data, has_more=page.has_more, next=page.next))


async def create_webhook(call: Call) -> Reply:
    form: WebhookForm = call.body
    _check_url(call, form.url)
    issuer = await asyncio.to_thread(call.backend.issuer)
    id = issuer.id(WEBHOOK)
    text = issuer.webhook_secret(id)
    assert text is not None
    webhook = Webhook(
        id=id, name=form.name, url=form.url, events=tuple(form.events), hint=hint_of(text), pepper=issuer.pepper,
        created=call.now, created_by=call.principal.name,
    )  # fmt: skip
    directory, edit, pending = await change(call, lambda directory: save_webhook(directory, webhook))
    record = directory.webhooks[edit.subject]  # of a repetition, the one of before
    secret = issuer.webhook_secret(record.id, record.pepper)
    if secret is None:
        raise AccountsUnavailable("The pepper of the secret is not here any more.", hint="Create another webhook.")
    return Reply(new_webhook_view(record, secret), etag=etag_of(record), pending=pending)


async def read_webhook(call: Call) -> Reply:
    return await _reply(call, _at(call, await call.read()), 0)


async def edit_webhook(call: Call) -> Reply:
    patch: WebhookPatch = call.body
    if patch.url is not UNSET:
        _check_url(call, patch.url)

    def decide(directory: Directory) -> Edit:
        record = _own(call, directory)
        changes: dict[str, Any] = changed_fields(patch)
        if patch.events is not UNSET:
            changes["events"] = tuple(patch.events)
        return save_webhook(directory, replace(record, **changes))

    return await _change(call, decide)


async def remove_webhook(call: Call) -> Reply:
    return await _change(call, lambda directory: delete_webhook(directory, _own(call, directory).id))


async def test_webhook(call: Call) -> Reply:
    webhook = _at(call, await call.read())
    if webhook.status != "active":
        raise RecordConflict("disabled", "status", f"{webhook.name!r} is disabled", "enable it first")
    # An edit that writes nothing but the receipt: the same Idempotency-Key is the same test, and of no other webhook.
    await change(call, lambda _: Edit(action=_TEST, subject=webhook.id))
    key = call.idempotency_key
    parts = [call.backend.ids.id("")] if key is None else [call.principal.name, key, webhook.id]
    alert = WebhookTest(id=alert_id(_TEST, *parts), at=alert_time(call.now), webhook=webhook.id)
    delivery = await call.backend.ledger.alerts.send(alert, webhook.id, call.now, call.author)
    return Reply(delivery_view(delivery))


async def list_deliveries(call: Call) -> Reply:
    webhook, params = _at(call, await call.read()), call.params
    if params.after and not (params.after.isascii() and params.after.isdigit() and len(params.after) < 19):
        raise FieldError("after", f"{params.after[:40]!r} is not a place in this list", "expected next of a page")
    before = int(params.after) if params.after else None
    rows = await call.backend.ledger.alerts.deliveries(webhook.id, before, params.limit + 1)
    chosen, has_more = rows[: params.limit], len(rows) > params.limit
    next = str(chosen[-1].number) if has_more else None  # noqa: A001 - the name in replies
    return Reply(Page(data=[delivery_view(one) for one in chosen], has_more=has_more, next=next))


async def _change(call: Call, decide: Any) -> Reply:
    directory, edit, pending = await change(call, decide)
    return await _reply(call, directory.webhooks[edit.subject], pending)


async def _reply(call: Call, webhook: Webhook, pending: int) -> Reply:
    last = await call.backend.ledger.alerts.last([webhook.id])
    return Reply(view_of(webhook, last.get(webhook.id)), etag=etag_of(webhook), pending=pending)


def _all(call: Call, directory: Directory) -> Mapping[str, Webhook]:
    """Those that are not deleted, with that of the configuration."""
    accounts = call.backend.config.accounts
    webhooks = call.scope(directory).seen(one for one in directory.webhooks.values() if one.status != "deleted")
    if accounts.webhook is not None:
        url = accounts.webhook.reveal()
        webhooks.append(Webhook(id=CONFIGURED, name="accounts.webhook", url=url, created_by="config", managed=True))
    return {one.id: one for one in webhooks}


def _at(call: Call, directory: Directory) -> Webhook:
    """That of the path. :raises NoSuchRecord:"""
    webhook = _all(call, directory).get(call.path["id"])
    if webhook is None:
        raise no_record("webhook", call.path["id"])
    return webhook


def _own(call: Call, directory: Directory) -> Webhook:
    """That of the path, to be changed. :raises RecordConflict: the configuration manages it."""
    webhook = _at(call, directory)
    if webhook.managed:
        raise RecordConflict("managed", "id", f"{webhook.id} is managed", MANAGED)
    check_match(call, etag_of(webhook))
    return webhook


def _check_url(call: Call, url: str) -> None:
    checked_target(url, call.backend.config.accounts.webhook_networks)


OPERATIONS: Final = (
    Operation("GET", "/webhooks", "List webhooks", "webhooks.read", Page[WebhookView], list_webhooks, ListParams),
    Operation(
        "POST", "/webhooks", "Create a webhook; its secret is shown this once", "webhooks.write", NewWebhookView,
        create_webhook, NoParams, WebhookForm, 201,
    ),
    Operation("GET", "/webhooks/{id}", "Read a webhook", "webhooks.read", WebhookView, read_webhook),
    Operation(
        "PATCH", "/webhooks/{id}", "Change a webhook", "webhooks.write", WebhookView, edit_webhook, NoParams,
        WebhookPatch,
    ),
    Operation("DELETE", "/webhooks/{id}", "Delete a webhook for good", "webhooks.write", WebhookView, remove_webhook),
    Operation(
        "POST", "/webhooks/{id}/test", "Send it an event that says nothing", "webhooks.write", DeliveryView,
        test_webhook, status=202,
    ),
    Operation(
        "GET", "/webhooks/{id}/deliveries", "List what it was sent, the newest first", "webhooks.read",
        Page[DeliveryView], list_deliveries, DeliveryParams,
    ),
)  # fmt: skip
