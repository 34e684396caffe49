"""Webhooks: who is told of which events, and the secret that signs what each gets.

The secret is derived from the pepper and the id of the webhook, so it is stored nowhere: whoever has the database alone
can sign nothing.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts import fields
from modelmux.accounts.alert_types import EVENT_TYPES, EventType
from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.accounts.secret_format import HOOK_PREFIX, new_secret

WEBHOOK: Final = "whk_"
#: The id of the webhook of the configuration, ``accounts.webhook``.
CONFIGURED: Final = "whk_configuration"
#: Webhooks that are not deleted. Each is a call for each event.
MOST_WEBHOOKS: Final = 100
#: Characters of a URL.
MAX_URL: Final = 2_000
_PURPOSE: Final = b"modelmux webhook secret\0"
_URL: Final = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)

#: ``disabled`` can be undone. One that was deleted stays for the audit log and for what it was sent.
WebhookStatus = Literal["active", "disabled", "deleted"]


class Webhook(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """
    :param events: that it is told of; empty for all.
    :param hint: what people recognize its secret by. :param pepper: which one the secret was derived from.
    :param created: microseconds in UTC. :param managed: it comes from the configuration.
    """

    id: str
    name: str
    url: str
    events: tuple[EventType, ...] = ()
    hint: str = ""
    pepper: str = ""
    created: int = 0
    created_by: str = ""
    status: WebhookStatus = "active"
    managed: bool = False

    def takes(self, type: str) -> bool:
        """Whether it is told of such events."""
        return self.status == "active" and (not self.events or type in self.events)


def secret_of(pepper: bytes, webhook: str) -> str:
    """The secret of a webhook. :param webhook: its id."""
    digest = hmac.digest(pepper, _PURPOSE + webhook.encode(), "sha256")
    return new_secret(lambda _: digest, HOOK_PREFIX)


def shown_url(url: str) -> str:
    """A URL without what may be a secret in it: path and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def checked(webhooks: Mapping[str, Webhook], webhook: Webhook) -> Webhook:
    """A webhook as it is stored. Where its URL leads, who knows the network checks.

    :param webhooks: all that there are, by id.
    :raises FieldError:
    """
    before = webhooks.get(webhook.id)
    if before is not None and before.status == "deleted":
        raise RecordConflict("deleted", "status", f"{before.name!r} is deleted for good", "create another one")
    others = [one for one in webhooks.values() if one.id != webhook.id and one.status != "deleted"]
    if before is None and len(others) >= MOST_WEBHOOKS:
        raise RecordConflict("too_many", "webhooks", f"there are {len(others)} already", "delete one that is not used")
    name = fields.name("name", webhook.name)
    taken = next((one for one in others if one.name.lower() == name.lower()), None)
    if taken is not None and webhook.status != "deleted":
        raise RecordConflict("taken", "name", f"{name!r} is taken by {taken.id}", "choose another one, or edit that")
    return replace(webhook, name=name, url=_url(webhook.url), events=_events(webhook.events))


def _url(text: str) -> str:
    text = text.strip()
    if len(text) > MAX_URL or _URL.fullmatch(text) is None:  # it may be a secret, and is not quoted
        raise FieldError("url", "it is not an https URL", f"expected one of at most {MAX_URL} characters of ASCII")
    return text


def _events(events: Sequence[EventType]) -> tuple[EventType, ...]:
    unknown = next((one for one in events if one not in EVENT_TYPES), None)
    if unknown is not None:
        problem = f"{unknown[: fields.MAX_NAME]!r} is not an event"
        raise FieldError("events", problem, f"expected some of {', '.join(EVENT_TYPES)}; none for all")
    return tuple(one for one in EVENT_TYPES if one in events)
