"""What the holder of a key may know of it: its limits, what is left of its budgets, and what it has used.

The numbers are those by which requests are refused: what the ledger has spent and leased. All that is read is read in
the ledger's thread. A key may read as often as a person looks, so that one that polls slows down no other: answers are
kept for a second, and different ones are limited in number.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from modelmux.accounts.budget_windows import budgets_of_key
from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.key_views import own_key_json
from modelmux.accounts.limits import LimitUse
from modelmux.accounts.records import Key
from modelmux.accounts.usage_params import Params, read_usage_query
from modelmux.catalog.model_filters import with_models
from modelmux.config.accounts_check import zone_of
from modelmux.config.schema import Config
from modelmux.dialects.base import Caller
from modelmux.errors import CallerRateLimited, EndpointNotFound, InvalidRequest, StoreUnavailable
from modelmux.gateway.shared_calls import SharedCalls
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed, accounts_unavailable
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.budget_states import states_from
from modelmux.store.ledger.usage_report import usage_report

#: Seconds for which an answer is kept.
KEPT_FOR: Final = 1.0
#: Reads of one key in so many seconds; what was kept does not count.
READS: Final = 10
READS_IN: Final = 10.0
#: Reads of all keys that wait for the ledger.
MOST_WAITING: Final = 64
#: Groups of one answer about usage.
MOST_RESULTS: Final = 10_000
_MOST_KEYS: Final = 10_000
_MOST_ANSWERS: Final = 64
_MICRO: Final = 1_000_000
_DIMENSIONS: Final = ("model",)
_NO_KEY: Final = "The operator can create one with `modelmux keys create`, and sees all usage with `modelmux usage`."

T = TypeVar("T")


class OwnKeys:
    """
    :param directory: returns that of now.
    :param limits: what counts towards the limits of a key.
    """

    def __init__(
        self,
        ledger: Ledger,
        directory: Callable[[], Directory],
        limits: Callable[[Key], Sequence[LimitUse]],
        config: Config,
        runtime: Runtime,
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._limits = limits
        self._config = config
        self._zone = zone_of(config.accounts.zone)
        self._zone_name = config.accounts.zone
        self._tags = frozenset(config.accounts.tags)
        self._runtime = runtime
        self._answers = SharedCalls[bytes](runtime.clock, seconds=KEPT_FOR, max_results=_MOST_ANSWERS)
        self._reads: OrderedDict[str, deque[float]] = OrderedDict()
        self._waiting = 0

    async def key(self, caller: Caller) -> bytes:
        """The key of a request, as JSON.

        :raises EndpointNotFound: it has none. :raises CallerRateLimited: it was read too often.
        :raises StoreUnavailable: it cannot be read.
        """
        directory, key = self._key(caller)
        return await self._answers.get(
            f"{key.id}\0{caller.hint}\0{directory.version}".encode(),
            lambda: self._read(key.id, lambda: self._key_json(directory, key, caller.hint)),
        )

    async def usage(self, caller: Caller, params: Params) -> bytes:
        """What a key has used, in buckets of time, as JSON.

        :param params: of the URL.
        :raises InvalidRequest: one that cannot be used.
        :raises EndpointNotFound, CallerRateLimited, StoreUnavailable: see ``key``.
        """
        directory, key = self._key(caller)
        try:
            query = read_usage_query(params, _DIMENSIONS, self._now(), self._zone_name, zone_of)
            where = (*with_models(query.where, self._config.build_catalog), ("key", (key.id,)))
            query = msgspec.structs.replace(query, where=where)

            async def read() -> bytes:
                answer = await usage_report(
                    self._ledger, query, zone_of(query.zone), reported_tags=self._tags, most=MOST_RESULTS,
                    own_prices=bool(self._config.accounts.prices or directory.prices),
                )  # fmt: skip
                return msgspec.json.encode(answer)

            return await self._answers.get(msgspec.json.encode(query), lambda: self._read(key.id, read))
        except FieldError as error:
            raise InvalidRequest(
                f"{error.field}: {error.problem}.",
                param=error.field,
                hint=f"{error.expected[:1].upper()}{error.expected[1:]}.",
            ) from None

    def _key(self, caller: Caller) -> tuple[Directory, Key]:
        directory = self._directory()
        key = directory.keys.get(caller.owner) if caller.is_account else None
        if key is None:
            raise no_account()
        return directory, key

    async def _key_json(self, directory: Directory, key: Key, hint: str) -> bytes:
        chain = budgets_of_key(directory, key)
        states = await states_from(self._ledger.windows, directory, self._now(), self._zone, chain)
        budgets = [(budget, state) for (budget, _), (state,) in zip(chain, states, strict=True)]
        return msgspec.json.encode(own_key_json(directory, key, hint, budgets, self._limits(key)))

    async def _read(self, key: str, read: Callable[[], Awaitable[T]]) -> T:
        """:raises CallerRateLimited, StoreUnavailable:"""
        self._count(key)
        if self._waiting >= MOST_WAITING:
            raise _unavailable(f"{MOST_WAITING} reads of keys wait for the ledger")
        self._waiting += 1
        try:
            return await read()
        except StoreFailed as error:
            raise _unavailable(str(error)) from None
        finally:
            self._waiting -= 1

    def _count(self, key: str) -> None:
        now = self._runtime.clock()
        reads = self._reads.pop(key, None) or deque[float](maxlen=READS)
        self._reads[key] = reads
        if len(self._reads) > _MOST_KEYS:
            self._reads.popitem(last=False)
        if len(reads) == READS and (wait := reads[0] + READS_IN - now) > 0:
            raise CallerRateLimited(
                f"This key was read {READS} times in {READS_IN:g} seconds.",
                retry_after=wait, hint="Read it once a second at most.",
            )  # fmt: skip
        reads.append(now)

    def _now(self) -> int:
        return int(self._runtime.now() * _MICRO)


def no_account() -> EndpointNotFound:
    """For callers without a virtual key, and where there are no accounts."""
    return EndpointNotFound(
        "Only a virtual key has limits and budgets of its own, and this request has none.",
        code="no_account", hint=_NO_KEY,
    )  # fmt: skip


def _unavailable(detail: str) -> StoreUnavailable:
    return accounts_unavailable("Limits and usage of this key cannot be read at the moment.", detail, retry_after=1.0)
