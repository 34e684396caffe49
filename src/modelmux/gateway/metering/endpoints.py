"""The webhooks of now: that of the configuration, and those of the directory with the secrets that sign for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.webhooks import CONFIGURED, Webhook, secret_of
from modelmux.config.accounts_check import target_of
from modelmux.config.errors import ConfigError
from modelmux.config.price_overrides import AccountsConfig
from modelmux.gateway.metering.webhook import Endpoint
from modelmux.gateway.metering.webhook_guard import checked_target
from modelmux.store.pepper import pepper_id
from modelmux.wire.http import Origin

_NO_PEPPER = "the pepper of its secret is not here any more: delete it, and create another one"
_NOWHERE = Origin("https", "invalid.invalid", 443)


class Endpoints:
    """
    :param accounts: its webhook has been checked.
    :param directory: returns that of now.
    :param peppers: reads them: called in a thread, where the webhooks have changed.
    """

    def __init__(
        self,
        accounts: AccountsConfig,
        directory: Callable[[], Directory] = Directory,
        peppers: Callable[[], Sequence[bytes]] = lambda: (),
    ) -> None:
        self._configured = configured(accounts)
        self._networks = tuple(accounts.webhook_networks)
        self._directory = directory
        self._peppers = peppers
        self._known: Mapping[str, Webhook] = {}
        self._endpoints = self._made({})

    @property
    def are_current(self) -> bool:
        """Whether ``current`` reads nothing."""
        return self._directory().webhooks is self._known

    def current(self) -> Mapping[str, Endpoint]:
        """By id; those that are disabled or deleted are left out."""
        webhooks = self._directory().webhooks
        if webhooks is not self._known:
            self._endpoints = self._made(webhooks)
            if not any(one.problem for one in self._endpoints.values()):
                self._known = webhooks  # else what is missing may come back
        return self._endpoints

    def _made(self, webhooks: Mapping[str, Webhook]) -> dict[str, Endpoint]:
        made = {} if self._configured is None else {CONFIGURED: self._configured}
        active = [one for one in webhooks.values() if one.status == "active"]
        try:
            peppers = {pepper_id(pepper): pepper for pepper in self._peppers()} if active else {}
        except ConfigError:
            peppers = {}
        return made | {one.id: self._of(one, peppers.get(one.pepper)) for one in active}

    def _of(self, webhook: Webhook, pepper: bytes | None) -> Endpoint:
        types = frozenset[str](webhook.events) or None
        try:
            target = checked_target(webhook.url, self._networks)
        except FieldError as error:  # what is allowed has changed
            return Endpoint(
                id=webhook.id, name=webhook.name, types=types, origin=_NOWHERE, target="/", problem=error.problem
            )
        secret = b"" if pepper is None else secret_of(pepper, webhook.id).encode()
        return Endpoint(
            id=webhook.id, name=webhook.name, types=types, origin=target.origin, target=target.path, secret=secret,
            problem=_NO_PEPPER if pepper is None else None,
        )  # fmt: skip


def configured(accounts: AccountsConfig) -> Endpoint | None:
    """That of the configuration, which may lead anywhere; None if there is none. Its URL has been checked."""
    if accounts.webhook is None:
        return None
    url, secret = accounts.webhook.reveal(), accounts.webhook_secret
    return Endpoint(
        id=CONFIGURED,
        origin=Origin.parse(url),
        target=target_of(url),
        secret=b"" if secret is None else secret.reveal().encode(),
        guarded=False,
    )
