"""Changes of webhooks, decided from the directory as it is: see ``edits``."""

from __future__ import annotations

from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, action_of
from modelmux.accounts.webhooks import Webhook, checked


def save_webhook(directory: Directory, webhook: Webhook) -> Edit:
    """A new webhook, or one with other fields; an empty edit if it is there as it is. :raises FieldError:"""
    before = directory.webhooks.get(webhook.id)
    webhook = checked(directory.webhooks, webhook)
    action = action_of("webhook", directory.webhooks, webhook)
    return Edit(action=action, subject=webhook.id, webhooks=() if webhook == before else (webhook,))


def delete_webhook(directory: Directory, id: str) -> Edit:
    """Delete it for good. Twice is as good as once: nothing is written then."""
    record = directory.webhooks[id]
    changed = () if record.status == "deleted" else (replace(record, status="deleted"),)
    return Edit(action="webhook.delete", subject=id, webhooks=changed)
