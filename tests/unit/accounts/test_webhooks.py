"""Webhooks as records. Risk: a secret that others can compute, two webhooks with one name, or one that has no end."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.alert_types import EVENT_TYPES, Alert, alert_time
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.accounts.roles import ROLES, Principal, Scope
from modelmux.accounts.secret_format import HOOK_PREFIX, is_secret
from modelmux.accounts.webhook_edits import delete_webhook, save_webhook
from modelmux.accounts.webhook_views import delivery_view, new_webhook_view, webhook_view
from modelmux.accounts.webhooks import MAX_URL, MOST_WEBHOOKS, Webhook, secret_of, shown_url
from modelmux.store.ledger.alerts import Delivery

URL = "https://hooks.example.com/services/hidden?x=1"
HOOK = Webhook(id="whk_a", name="Slack", url=URL)


def directory(*webhooks: Webhook) -> Directory:
    return Directory().updated(Changes(version=1, webhooks=webhooks))


def test_a_secret_is_of_one_pepper_and_one_webhook() -> None:
    secrets = {secret_of(pepper, id) for pepper in (b"p" * 32, b"q" * 32) for id in ("whk_a", "whk_b")}
    assert len(secrets) == 4
    assert all(is_secret(secret, HOOK_PREFIX) and not is_secret(secret) for secret in secrets)
    assert secret_of(b"p" * 32, "whk_a") == secret_of(b"p" * 32, "whk_a")


def test_it_is_stored_as_it_is_checked_and_once() -> None:
    edit = save_webhook(Directory(), Webhook(id="whk_a", name=" Slack ", url=f" {URL} ", events=("ledger.lag",)))
    assert (edit.action, edit.subject) == ("webhook.create", "whk_a")
    (stored,) = edit.webhooks
    assert (stored.name, stored.url, stored.events) == ("Slack", URL, ("ledger.lag",))
    after = directory(stored)
    assert save_webhook(after, stored).is_empty
    assert save_webhook(after, Webhook(id="whk_a", name="other", url=URL)).action == "webhook.edit"
    assert after.record("webhook", stored) is stored


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("url", "hooks.example.com"), ("url", "ftp://hooks.example.com"), ("url", "https://a b"),
        ("url", "https://ä.example"), ("url", f"https://hooks.example.com/{'a' * MAX_URL}"), ("events", ("other",)),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_and_the_url_is_not_quoted(field: str, value: Any) -> None:
    fields: dict[str, Any] = {"id": "whk_a", "name": "Slack", "url": URL, field: value}
    with pytest.raises(FieldError) as error:
        save_webhook(Directory(), Webhook(**fields))
    assert error.value.field == field
    assert field != "url" or value not in str(error.value)


def test_a_name_is_of_one_webhook_until_it_is_deleted() -> None:
    other = Webhook(id="whk_b", name="slack", url=URL)
    with pytest.raises(RecordConflict):
        save_webhook(directory(HOOK), other)
    (deleted,) = delete_webhook(directory(HOOK), "whk_a").webhooks
    after = directory(deleted)
    assert not save_webhook(after, other).is_empty
    assert delete_webhook(after, "whk_a").is_empty
    with pytest.raises(RecordConflict) as error:
        save_webhook(after, HOOK)
    assert error.value.code == "deleted"


def test_there_are_not_more_than_can_be_called() -> None:
    many = directory(*(Webhook(id=f"whk_{number}", name=str(number), url=URL) for number in range(MOST_WEBHOOKS)))
    with pytest.raises(RecordConflict) as error:
        save_webhook(many, HOOK)
    assert error.value.code == "too_many"
    assert not save_webhook(many, Webhook(id="whk_0", name="again", url=URL)).is_empty


def test_events_choose() -> None:
    some = Webhook(id="whk_a", name="a", url=URL, events=("key.expiring",))
    assert [some.takes(one) for one in EVENT_TYPES] == [one == "key.expiring" for one in EVENT_TYPES]
    assert all(HOOK.takes(one) for one in EVENT_TYPES)
    assert not Webhook(id="whk_a", name="a", url=URL, status="disabled").takes("key.expiring")


@pytest.mark.parametrize("role", ROLES)
def test_only_who_sees_all_sees_and_changes_them(role: Any) -> None:
    scope = Scope(Directory(), Principal(name="x", role=role))
    assert scope.sees(HOOK) is scope.changes(HOOK) is (role in ("owner", "admin"))


def test_a_managed_one_shows_no_path() -> None:
    assert shown_url(URL) == "https://hooks.example.com/…"
    shown = webhook_view(Webhook(id="whk_a", name="a", url=URL, managed=True), None)
    assert (shown.url, shown.hint, shown.created_at, shown.last_delivery) == (
        "https://hooks.example.com/…",
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("due", "problem", "status"), [(5, "x", "pending"), (None, None, "delivered"), (None, "x", "failed")]
)
def test_how_a_delivery_is(due: int | None, problem: str | None, status: str) -> None:
    delivery = Delivery(
        number=1, id="dlv_a", webhook="whk_a", alert="alert_a", type="key.expiring", created=0, due=due, tries=1,
        tried=None if due else 7, status=None, problem=problem,
    )  # fmt: skip
    shown = delivery_view(delivery)
    assert shown.status == status
    assert (shown.tried_at, shown.next_attempt_at) == (None if due else alert_time(7), alert_time(5) if due else None)
    made = new_webhook_view(Webhook(id="whk_a", name="a", url=URL, created=1), "secret")
    assert (made.secret, made.created_at) == ("secret", "1970-01-01T00:00:00.000001Z")
    last = webhook_view(HOOK, delivery).last_delivery
    assert last == shown


def test_every_type_of_event_has_a_name_that_webhooks_choose() -> None:
    tags = {one.__struct_config__.tag for one in Alert.__args__}
    assert tags == {*EVENT_TYPES, "webhook.test"}
