"""What a configuration asks for: no ledger, or one that every request is written to."""

from __future__ import annotations

import functools
import hashlib
import hmac
import math
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from modelmux.accounts.alerts import Watches
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.lease_book import LeaseBook
from modelmux.accounts.lease_term import STOPS_AFTER, LeaseTerm
from modelmux.accounts.outage import Outage
from modelmux.accounts.own_prices import CurrentPrices
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.usual_output import UsualOutput
from modelmux.accounts.uuid7 import Uuid7s
from modelmux.catalog.prices import NANO
from modelmux.config.accounts_check import check_accounts, header_names, outage_allowance, zone_of
from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config
from modelmux.gateway.limits.rate_gate import RateGate
from modelmux.gateway.metering.alert_sources import LedgerLag
from modelmux.gateway.metering.budget_guard import BudgetGuard
from modelmux.gateway.metering.budget_metrics import BudgetMetrics
from modelmux.gateway.metering.entry_of import Rules
from modelmux.gateway.metering.heartbeat import Heartbeat
from modelmux.gateway.metering.ledger_observer import LedgerObserver
from modelmux.gateway.metering.log_fields import AccountFields
from modelmux.gateway.metering.notifier import Notifier
from modelmux.gateway.metering.open_notifier import open_notifier
from modelmux.gateway.metering.outage_allowance import OUTAGE_IS_OVER, OutageAllowance
from modelmux.gateway.metering.own_keys import OwnKeys
from modelmux.gateway.metering.recovery import Recovery
from modelmux.gateway.metering.request_journal import RequestJournal
from modelmux.gateway.metering.retention import Retention
from modelmux.gateway.services import NoteCall
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.feed import Feed
from modelmux.store.journal.journal import Journal, journal_directory
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.lease_exchange import LeaseExchange
from modelmux.store.ledger.open_ledger import database_of, ledger_path, open_ledger, store_name
from modelmux.store.ledger.writer import LedgerWriter
from modelmux.store.nodes import LiveNodes
from modelmux.telemetry import names
from modelmux.telemetry.ledger_counts import LedgerCounts
from modelmux.telemetry.log import Log
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.observers import ExchangeObserver
from modelmux.upstream.base import Upstream

_WITHOUT: Final = "Without a ledger, nothing is served while accounts.enabled is true."
_REMEDY: Final = (
    "If it cannot be written, make its directory writable for this user, or set accounts.store to another path. "
    + _WITHOUT
)
_MICRO: Final = 1_000_000
#: The route and the model of a request that has none.
_UNKNOWN: Final = "unknown"
#: Hexadecimal digits of an end user's hash.
_DIGITS: Final = 32


class Meters(NamedTuple):
    """What meters the requests of one configuration; nothing without a ledger."""

    observers: tuple[ExchangeObserver, ...]
    budgets: BudgetGuard | None
    note_call: NoteCall | None
    log_fields: AccountFields | None = None


class Metering:
    """The writer of a process, if there is a ledger, and its observer for each configuration.

    :param node: see ``Ledger.renew``.
    :raises ConfigError: the ledger, or a value of ``[accounts]``, cannot be used.
    """

    def __init__(
        self,
        config: Config,
        environment: Mapping[str, str],
        runtime: Runtime,
        log: Log,
        metrics: Metrics | None = None,
        node: str = "",
    ) -> None:
        self._metrics = metrics or Metrics()
        self._runtime = runtime
        self._log = log
        self._ids = Uuid7s(os.urandom)
        self._book, self._outage, self._workers = LeaseBook(), Outage(), config.server.workers
        self._ledger: Ledger | None = None
        self.writer: LedgerWriter | None = None
        self._retention: Retention | None = None
        self._journal: RequestJournal | None = None
        self._recovery: Recovery | None = None
        self._heartbeat: Heartbeat | None = None
        self._longest = 0.0  # seconds that a request may run, of all configurations so far
        self._notifier: Notifier | None = None
        self._lag: LedgerLag | None = None
        self._watches, self._usual = Watches(), UsualOutput()
        self._zone = "UTC"
        self._feed: Feed | None = None
        self._budget_metrics: BudgetMetrics | None = None
        #: nano-USD that requests cost above what they held, and that were charged for processes that were killed.
        self.underrun = self.in_doubt = 0
        #: nano-USD that were held beyond leases while the store did not answer.
        self.beyond = 0
        #: Where rows are written, for people.
        self.notice: str | None = None
        #: Requests whose price was unknown.
        self.unpriced = 0
        check_accounts(config.accounts)
        if not config.accounts.enabled:
            return
        ledger = self._ledger = _checked_ledger(config, environment)
        path = ledger_path(config, environment)
        self.notice = f"a row of each request is written to {store_name(config, environment)}"
        holder = f"{platform.node()}:{os.getpid()}:{runtime.new_id(8)}"
        self._store = config.accounts.store.partition(":")[0]
        leases = self._leases(ledger, holder, node if database_of(config) is not None else None)
        directory = journal_directory(path)
        self._journal = RequestJournal(functools.partial(self._open_journal, directory, holder), runtime, self._ids)
        prices = config.build_prices()
        self._recovery = Recovery(
            ledger, directory, CurrentPrices(prices), self._ids, runtime, log, self._count_in_doubt
        )
        self.writer = LedgerWriter(
            ledger, runtime.sleep, self._on_problem, self._on_recovered, leases, self._journal.drop
        )
        self._retention = Retention(ledger, float(config.accounts.retention), runtime, log)
        self._lag = LedgerLag(ledger.alerts, self.counts, runtime)
        self._notifier = open_notifier(config, environment, ledger.alerts, self._directory, self._lag, runtime, log)
        self._budget_metrics = BudgetMetrics(ledger, self._directory, lambda: zone_of(self._zone), runtime)
        self._metrics.read_ledger = self.counts
        if checked := [price.checked_on for price in prices.prices if price.checked_on is not None]:
            self._metrics.read_price_age = lambda: (runtime.today() - max(checked)).days

    def _leases(self, ledger: Ledger, holder: str, node: str | None) -> LeaseExchange:
        """:param node: None where no other node can end the leases of this process."""
        runtime = self._runtime
        self._term = LeaseTerm(math.inf if node is None else STOPS_AFTER)
        if node is not None:
            self._heartbeat = Heartbeat(
                ledger, holder, node or holder, self._term, lambda: self._longest, runtime, self._log
            )
        return LeaseExchange(
            ledger, self._book, holder, runtime.clock, runtime.now, self._watches, self._count_exchange, self._term
        )

    def start(self, upstream: Upstream, *, is_first: bool) -> None:
        """Recover what killed processes left, drop old rows and tell what happens from now on. Idempotent.

        :param upstream: sends to the webhook.
        :param is_first: it is the first of several processes, which does what one of them has to do.
        """
        if self._recovery is not None:
            self._recovery.start()
        if self._heartbeat is not None:
            self._heartbeat.start()
        if self._lag is not None:
            self._lag.start()
        if not is_first:
            return
        if self._retention is not None:
            self._retention.start()
        if self._notifier is not None:
            self._notifier.start(upstream)
        if self._budget_metrics is not None:
            self._budget_metrics.start()

    async def stop(self) -> None:
        """End what ``start`` began. Idempotent."""
        for task in (self._heartbeat, self._recovery, self._retention, self._notifier, self._lag, self._budget_metrics):
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
        self._feed, self._zone = feed, config.accounts.zone
        key, directory = secret(), self._directory
        rules = Rules(
            current_prices=CurrentPrices(config.build_prices(), directory),
            keys=static_keys(config),
            end_user_headers=header_names(config.accounts.end_user_headers),
            redact=redact,
            end_user_form=str if config.accounts.end_user == "plain" else lambda name: hashed(name, key),
        )
        accounts, self._longest = config.accounts, max(self._longest, longest_request(config))
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
            on_short=self._count_short,
            open_journal=self._journal.open,
            term=self._term,
            allowance=OutageAllowance(
                self._outage, outage_allowance(accounts), self._processes, self._log, self._count_beyond
            ),
        )
        self._recovery.prices = rules.current_prices
        observer = LedgerObserver(self.writer, rules, self._runtime, self._ids, self._count, budgets.settle)
        fields = AccountFields(directory, lambda: observer.charged)
        return Meters((observer,), budgets, functools.partial(self._journal.note_call, rules.keys), fields)

    def own_keys(self, config: Config, feed: Feed | None, limits: RateGate | None) -> OwnKeys | None:
        """What the holders of keys may ask; None without accounts."""
        if self._ledger is None or feed is None or limits is None:
            return None
        return OwnKeys(self._ledger, lambda: feed.current, limits.uses, config, self._runtime)

    @property
    def live_nodes(self) -> LiveNodes | None:
        """Of the nodes that share accounts; None where no other one can."""
        heartbeat = self._heartbeat
        return None if heartbeat is None else lambda: heartbeat.nodes

    def counts(self) -> LedgerCounts:
        """For metrics."""
        writer, journal, budgets = self.writer, self._journal, self._budget_metrics
        if writer is None or journal is None or budgets is None:
            return LedgerCounts()
        oldest = writer.oldest
        ended = None if oldest is None else (oldest.at + oldest.duration) / _MICRO
        return LedgerCounts(
            unpriced=self.unpriced,
            waiting=writer.waiting,
            lost=writer.lost,
            underrun=self.underrun / NANO,
            beyond=self.beyond / NANO,
            written=writer.written,
            failures=writer.failures,
            in_doubt=self.in_doubt / NANO,
            lag=0.0 if ended is None else max(0.0, self._runtime.now() - ended),
            notes=journal.size,
            is_up=not writer.is_failing and (self._feed is None or not self._feed.is_failing),
            budgets=budgets.numbers,
        )

    def _count_exchange(self, seconds: float) -> None:
        self._metrics.exchanges.observe(self._store, seconds)
        if self._outage.answered(seconds):
            self._log.info(names.EVENT_LEDGER, message=OUTAGE_IS_OVER)

    def _count_short(self, seconds: float) -> None:
        self._metrics.lease_short.add(self._store)
        self._metrics.recalls.observe(self._store, seconds)

    def _directory(self) -> Directory:
        return Directory() if self._feed is None else self._feed.current

    def _count(self, entry: Entry) -> None:
        metrics, model = self._metrics, entry.model or _UNKNOWN
        if entry.cost is None:
            self.unpriced += 1
            metrics.price_missing.add(model)
        elif cost := entry.cost.total:
            team = names.NO_TEAM if metrics.teams is None else metrics.teams.of_path(entry.team)
            metrics.cost.add_many(cost / NANO, entry.route or _UNKNOWN, model, team)
            metrics.by_tag.charged(entry.tags, cost / NANO)

    def _count_underrun(self, amount: int) -> None:
        self.underrun += amount

    def _count_beyond(self, amount: int) -> None:
        self.beyond += amount

    def _processes(self) -> int:
        """Those that share the budgets: the workers of this gateway, if no other node does. 0 before the first exchange
        of this process: one that begins in an outage does not know what the one before has used."""
        if self._heartbeat is not None:
            return self._heartbeat.processes
        return self._workers if self._book.exchanges else 0

    def _count_in_doubt(self, charged: Mapping[WindowKey, int]) -> None:
        budgets = self._directory().budgets
        for window, amount in charged.items():
            budget = budgets.get(window.budget)
            if budget is not None and budget.unit == "usd":
                self.in_doubt += amount

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
        if self._heartbeat is not None:
            self._heartbeat.start()
        return journal

    def _on_full(self, cause: str) -> None:
        message = "the journal is full: requests whose process is killed may have no rows"
        self._log.error(names.EVENT_LEDGER, message=f"{message} ({cause})")

    def _on_recovered(self, message: str) -> None:
        self._log.info(names.EVENT_LEDGER, message=message)


def _checked_ledger(config: Config, environment: Mapping[str, str]) -> Ledger:
    """:raises ConfigError: it cannot be used."""
    try:
        ledger = open_ledger(config, environment)
        ledger.check()
    except StoreFailed as error:
        remedy = _REMEDY if database_of(config) is None else _WITHOUT
        raise ConfigError([f"accounts.store: {error}"], hint=remedy) from None
    return ledger


def longest_request(config: Config) -> float:
    """Seconds after which a request is over at the latest."""
    totals = (model.timeouts.total for model in config.vertex.models if model.timeouts is not None)
    return max(float(config.timeouts.total), *(float(total) for total in totals if total is not None), 0.0)


def static_keys(config: Config) -> dict[str, str]:
    """Owner of a caller -> the id that rows have for a key of ``server.api_keys``: ``static_1`` and so on."""
    digests = [hashlib.sha256(key.reveal().encode()).hexdigest() for key in config.server.api_keys]
    return {digest: f"static_{number}" for number, digest in reversed(list(enumerate(digests, 1)))}


def hashed(name: str, key: bytes) -> str:
    """An end user's name as rows have it: no one without the key can tell whether it is a certain name's."""
    derived = hmac.digest(key, b"modelmux end user", "sha256")
    return hmac.new(derived, name.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:_DIGITS]
