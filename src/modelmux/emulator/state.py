"""What an emulator remembers between requests: tokens, prompt caches, quota windows, fault counters, the last requests.

Everything is bounded, and ``reset`` forgets it all.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from modelmux.catalog import Catalog, ModelCard
from modelmux.emulator.binding import Signer
from modelmux.emulator.exchange import Exchange
from modelmux.emulator.oauth import Tokens
from modelmux.emulator.prompt_cache import PromptCache
from modelmux.emulator.settings import EmulatorSettings

#: Bodies of remembered requests together never exceed this.
_KEPT_BYTES: Final = 64 * 1024 * 1024
_MAX_KEYS: Final = 10_000


class State:
    """State of one emulator. ``clock`` gives seconds since the epoch."""

    def __init__(self, settings: EmulatorSettings, catalog: Catalog, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.catalog = catalog
        self.clock = clock
        self.signer = Signer(settings.seed)
        self.tokens = Tokens(settings.token_lifetime, settings.public_key, settings.seed)
        self.cache = PromptCache()
        self.log = RequestLog(settings.keep_requests)
        self.counter = 0
        self._reset_counters()

    def reset(self) -> None:
        """Forget caches, counters, quotas and requests; issued tokens stay valid."""
        self.cache.clear()
        self.log.clear()
        self._reset_counters()

    def _reset_counters(self) -> None:
        self.directive_uses: Counter[str] = Counter()
        self.rule_hits: Counter[int] = Counter()
        self.rule_uses: Counter[int] = Counter()
        self.dice = random.Random(self.settings.scenario.seed if self.settings.scenario else self.settings.seed)  # noqa: S311
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()

    def next_number(self) -> int:
        self.counter += 1
        return self.counter

    def use_directive(self, key: str, times: int | None) -> bool:
        """Whether a directive is still in force; counts this use."""
        if times is None:
            return True
        if len(self.directive_uses) >= _MAX_KEYS:
            self.directive_uses.clear()
        self.directive_uses[key] += 1
        return self.directive_uses[key] <= times

    def within_quota(self, project: str, location: str, card: ModelCard) -> bool:
        """Take one request from the bucket; False when the minute's requests are used up.

        Models of one lineage share a bucket on global and multi-region endpoints.
        """
        limit = self.settings.requests_per_minute
        if limit is None:
            return True
        shared = card.lineage if location in ("global", "us", "eu") else ""
        window = self._windows.setdefault(f"{project}/{location}/{shared or card.id}", deque())
        now = self.clock()
        while window and window[0] <= now - 60:
            window.popleft()
        if len(window) >= limit:
            return False
        window.append(now)
        while len(self._windows) > _MAX_KEYS:
            self._windows.popitem(last=False)
        return True


class RequestLog:
    """The last requests, oldest first; the oldest also go when the bodies grow too large together."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._bytes = 0
        self._entries: deque[Exchange] = deque()

    def add(self, exchange: Exchange) -> None:
        self._entries.append(exchange)

    def settle(self, exchange: Exchange) -> None:
        """The body of a remembered request is known now."""
        self._bytes += len(exchange.body)
        while self._entries and (len(self._entries) > self._keep or self._bytes > _KEPT_BYTES):
            self._bytes -= len(self._entries.popleft().body)

    def clear(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def entries(self) -> list[dict[str, Any]]:
        """What ``/_emulator/requests`` shows: exact bodies, headers without credentials, how each one ended."""
        return [
            {
                "number": e.number,
                "at": e.at,
                "method": e.method,
                "path": e.path,
                "headers": e.shown_headers(),
                "body": _body(e.body),
                "status": e.status,
                "outcome": e.outcome,
                "fault": e.fault,
                "events": e.sent_events,
                "bytes": e.sent_bytes,
            }
            for e in self._entries
        ]


def _body(body: bytes) -> Any:
    """The body as JSON, byte for byte where it is JSON, as text otherwise."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
    return msgspec.Raw(body)
