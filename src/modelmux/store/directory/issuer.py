"""New ids and secrets: everything random about the directory."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Sequence

from modelmux.accounts.records import Secret
from modelmux.accounts.secret_format import hint_of, new_secret
from modelmux.accounts.uuid7 import Uuid7s, format_id
from modelmux.accounts.webhooks import secret_of
from modelmux.store.pepper import pepper_id


class NewIds:
    """
    :param now: Unix seconds. :param random: returns N random bytes.
    """

    def __init__(self, now: Callable[[], float], random: Callable[[int], bytes] = os.urandom) -> None:
        self._now = now
        self._random = random
        self._ids = Uuid7s(random)

    def now(self) -> int:
        """Microseconds in UTC."""
        return int(self._now() * 1_000_000)

    def id(self, prefix: str) -> str:
        """``key_01jd…`` and so on; later ids sort behind earlier ones."""
        return format_id(self._ids.new(self.now()), prefix)


class Issuer(NewIds):
    """
    :param peppers: the first one hashes what is made.
    """

    def __init__(
        self, peppers: Sequence[bytes], now: Callable[[], float], random: Callable[[int], bytes] = os.urandom
    ) -> None:
        super().__init__(now, random)
        self._pepper = peppers[0]
        self._peppers = {pepper_id(pepper): pepper for pepper in peppers}

    @property
    def pepper(self) -> str:
        """Names the one by which secrets are made."""
        return pepper_id(self._pepper)

    def derived(self, purpose: bytes) -> list[bytes]:
        """Keys for something else, the same wherever the peppers are: one of each, that of new secrets first."""
        others = [pepper for pepper in self._peppers.values() if pepper != self._pepper]
        return [hmac.digest(pepper, purpose, "sha256") for pepper in (self._pepper, *others)]

    def webhook_secret(self, webhook: str, pepper: str | None = None) -> str | None:
        """The secret of a webhook by its id; None if its pepper is not here.

        :param pepper: by default that of new secrets.
        """
        known = self._peppers.get(self.pepper if pepper is None else pepper)
        return None if known is None else secret_of(known, webhook)

    def secret(self, key: str) -> tuple[str, Secret]:
        """A secret for a key: its text, which is shown once and kept nowhere, and what is stored of it."""
        text = new_secret(self._random)
        return text, Secret(
            digest=hmac.digest(self._pepper, text.encode(), "sha256"),
            key=key,
            pepper=pepper_id(self._pepper),
            hint=hint_of(text),
            created=self.now(),
        )
