"""What a configuration asks for: no ledger, or one that every request is written to."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from modelmux.accounts.alerts import Watches
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.lease_book import LeaseBook
from modelmux.accounts.own_prices import CurrentPrices
from modelmux.accounts.usual_output import UsualOutput
from modelmux.accounts.uuid7 import Uuid7s
from modelmux.catalog.prices import NANO
from modelmux.config.accounts_check import check_accounts, header_names, zone_of
from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config
from modelmux.gateway.limits.rate_gate import RateGate
from modelmux.gateway.metering.budget_guard import BudgetGuard
from modelmux.gateway.metering.entry_of import Rules
from modelmux.gateway.metering.ledger_observer import LedgerObserver
from modelmux.gateway.metering.notifier import Notifier
from modelmux.gateway.metering.own_keys import OwnKeys
from modelmux.gateway.metering.recovery import Recovery
from modelmux.gateway.metering.request_journal import RequestJournal
from modelmux.gateway.metering.retention import Retention
from modelmux.gateway.metering.webhook import Webhook
from modelmux.gateway.services import NoteCall
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.feed import Feed
from modelmux.store.journal.journal import Journal, journal_directory
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.lease_exchange import LeaseExchange
from modelmux.store.ledger.open_ledger import ledger_path, open_ledger
from modelmux.store.ledger.writer import LedgerWriter
from modelmux.telemetry import names
from modelmux.telemetry.log import Log
from modelmux.telemetry.metrics import LedgerCounts
from modelmux.telemetry.observers import ExchangeObserver
from modelmux.upstream.base import Upstream

_REMEDY: Final = (
    "If it cannot be written, make its directory writable for this user, or set accounts.store to another path. "
    "Without a ledger, nothing is served while accounts.enabled is true."
)
#: Hexadecimal digits of an end user's hash.
_DIGITS: Final = 32


class Meters(NamedTuple):
    """What meters the requests of one configuration; nothing without a ledger."""

    observers: tuple[ExchangeObserver, ...]
    budgets: BudgetGuard | None
    note_call: NoteCall | None


class Metering:
    """The writer of a process, if there is a ledger, and its observer for each configuration.

    :raises ConfigError: the ledger, or a value of ``[accounts]``, cannot be used.
    """

    def __init__(self, config: Config, environment: Mapping[str, str], runtime: Runtime, log: Log) -> None:
        self._runtime = runtime
        self._log = log
        self._ids = Uuid7s(os.urandom)
        self._book = LeaseBook()
        self._ledger: Ledger | None = None
        self.writer: LedgerWriter | None = None
        self._retention: Retention | None = None
        self._journal: RequestJournal | None = None
        self._recovery: Recovery | None = None
        self._notifier: Notifier | None = None
        self._watches = Watches()
        self._usual = UsualOutput()
        #: nano-USD that requests cost above what they held.
        self.underrun = 0
        #: Where rows are written, for people.
        self.notice: str | None = None
        #: Requests whose price was unknown.
        self.unpriced = 0
        check_accounts(config.accounts)
        if not config.accounts.enabled:
            return
        try:
            ledger = self._ledger = open_ledger(config, environment)
            ledger.check()
        except StoreFailed as error:
            raise ConfigError([f"accounts.store: {error}"], hint=_REMEDY) from None
        path = ledger_path(config, environment)
        self.notice = f"a row of each request is written to {path}"
        holder = f"{platform.node()}:{os.getpid()}:{runtime.new_id(8)}"
        leases = LeaseExchange(ledger, self._book, holder, runtime.clock, runtime.now, self._watches)
        directory = journal_directory(path)
        self._journal = RequestJournal(functools.partial(self._open_journal, directory, holder), runtime, self._ids)
        self._recovery = Recovery(ledger, directory, CurrentPrices(config.build_prices()), self._ids, runtime, log)
        self.writer = LedgerWriter(
            ledger, runtime.sleep, self._on_problem, self._on_recovered, leases, self._journal.drop
        )
        self._retention = Retention(ledger, float(config.accounts.retention), runtime, log)
        self._notifier = Notifier(ledger, Webhook.of(config.accounts), runtime, log)

    def start(self, upstream: Upstream, *, is_first: bool) -> None:
        """Recover what killed processes left, drop old rows and tell what budgets have reached from now on. Idempotent.

        :param upstream: sends to the webhook.
        :param is_first: it is the first of several processes, which does what one of them has to do.
        """
        if self._recovery is not None:
            self._recovery.start()
        if not is_first:
            return
        if self._retention is not None:
            self._retention.start()
        if self._notifier is not None:
            self._notifier.start(upstream)

    async def stop(self) -> None:
        """End what ``start`` began. Idempotent."""
        for task in (self._recovery, self._retention, self._notifier):
            if task is not None:
                await task.aclose()

    def meters(
        self,
        config: Config,
        redact: Callable[[str], str],
        secret: Callable[[], bytes],
        feed: Feed | None = None,
    ) -> Meters:
        """What meters the requests that one configuration serves.

        :param redact: removes secrets from what clients chose.
        :param secret: of this gateway, for the hashes of end users.
        :param feed: of budgets; None without accounts.
        :raises ConfigError: a value of ``[accounts]`` that cannot be used.
        """
        check_accounts(config.accounts)
        if self.writer is None or self._journal is None or self._recovery is None:
            if config.accounts.prices or config.accounts.unknown_price != "refuse":
                config.build_prices()  # only checked: nothing is charged
            return Meters((), None, None)
        key, directory = secret(), (lambda: feed.current) if feed is not None else Directory
        rules = Rules(
            current_prices=CurrentPrices(config.build_prices(), directory),
            keys=static_keys(config),
            end_user_headers=header_names(config.accounts.end_user_headers),
            redact=redact,
            end_user_form=str if config.accounts.end_user == "plain" else lambda name: hashed(name, key),
        )
        accounts = config.accounts
        budgets = BudgetGuard(
            self._book,
            self.writer,
            directory,
            rules,
            self._runtime,
            zone=zone_of(accounts.zone),
            wait=float(accounts.wait),
            refuses_unpriced=accounts.unknown_price != "ledger_only",
            watches=self._watches,
            usual=self._usual,
            on_underrun=self._count_underrun,
            open_journal=self._journal.open,
        )
        self._recovery.prices = rules.current_prices
        observer = LedgerObserver(self.writer, rules, self._runtime, self._ids, self._count, budgets.settle)
        return Meters((observer,), budgets, functools.partial(self._journal.note_call, rules.keys))

    def own_keys(self, config: Config, feed: Feed | None, limits: RateGate | None) -> OwnKeys | None:
        """What the holders of keys may ask; None without accounts."""
        if self._ledger is None or feed is None or limits is None:
            return None
        return OwnKeys(self._ledger, lambda: feed.current, limits.uses, config, self._runtime)

    def counts(self) -> LedgerCounts:
        """For metrics."""
        return (
            LedgerCounts()
            if self.writer is None
            else LedgerCounts(self.unpriced, self.writer.waiting, self.writer.lost, self.underrun / NANO)
        )

    def _count(self, entry: Entry) -> None:
        self.unpriced += entry.cost is None

    def _count_underrun(self, amount: int) -> None:
        self.underrun += amount

    async def aclose(self) -> None:
        """Write what waits. Idempotent."""
        await self.stop()
        if self.writer is not None:
            await self.writer.aclose()
        if self._journal is not None:
            self._journal.close()

    def _on_problem(self, message: str, lost: int) -> None:
        self._log.error(names.EVENT_LEDGER, message=message, lost=lost or None)

    def _open_journal(self, directory: Path, holder: str) -> Journal:
        """With the first request, which is all that an application without a lifespan begins with."""
        journal = Journal(directory, holder, self._on_full)
        if self._recovery is not None:
            self._recovery.start()
        return journal

    def _on_full(self, cause: str) -> None:
        message = "the journal is full: requests whose process is killed may have no rows"
        self._log.error(names.EVENT_LEDGER, message=f"{message} ({cause})")

    def _on_recovered(self, message: str) -> None:
        self._log.info(names.EVENT_LEDGER, message=message)


def static_keys(config: Config) -> dict[str, str]:
    """Owner of a caller -> the id that rows have for a key of ``server.api_keys``: ``static_1`` and so on."""
    digests = [hashlib.sha256(key.reveal().encode()).hexdigest() for key in config.server.api_keys]
    return {digest: f"static_{number}" for number, digest in reversed(list(enumerate(digests, 1)))}


def hashed(name: str, key: bytes) -> str:
    """An end user's name as rows have it: no one without the key can tell whether it is a certain name's."""
    derived = hmac.digest(key, b"modelmux end user", "sha256")
    return hmac.new(derived, name.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:_DIGITS]
