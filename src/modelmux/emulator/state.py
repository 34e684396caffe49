"""State between requests: tokens, prompt caches, quota windows, fault counters, the last requests.

All of it is bounded.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from modelmux.catalog import Catalog
from modelmux.emulator.bill import Bill
from modelmux.emulator.faults.matching import RuleMatcher
from modelmux.emulator.http import HttpExchange
from modelmux.emulator.model.prompt_cache import PromptCache
from modelmux.emulator.model.signatures import Signer
from modelmux.emulator.oauth import IssuedTokens
from modelmux.emulator.settings import EmulatorSettings

#: Limit on the bodies of remembered requests together.
_MAX_LOGGED_BYTES: Final = 64 * 1024 * 1024
_MAX_KEYS: Final = 10_000


class EmulatorState:
    """State of one emulator. ``clock`` returns seconds since the epoch."""

    def __init__(self, settings: EmulatorSettings, catalog: Catalog, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.catalog = catalog
        self.clock = clock
        self.signer = Signer(settings.seed)
        self.tokens = IssuedTokens(settings.token_lifetime, settings.public_key, settings.seed)
        self.prompt_cache = PromptCache()
        self.rules = RuleMatcher(settings.scenario)
        self.log = RequestLog(settings.keep_requests)
        self.bill = Bill()
        self.counter = 0
        self._reset_counters()

    def reset(self) -> None:
        """Forget caches, counters, quotas, requests and the bill; issued tokens remain valid."""
        self.prompt_cache.clear()
        self.log.clear()
        self.bill.clear()
        self.rules.reset()
        self._reset_counters()

    def _reset_counters(self) -> None:
        self.directive_uses: Counter[str] = Counter()
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()

    def next_number(self) -> int:
        self.counter += 1
        return self.counter

    def use_directive(self, key: str, times: int | None) -> bool:
        """Whether a directive still applies; counts this use."""
        if times is None:
            return True
        if len(self.directive_uses) >= _MAX_KEYS:
            self.directive_uses.clear()
        self.directive_uses[key] += 1
        return self.directive_uses[key] <= times

    def within_quota(self, project: str, location: str, model: str, lineage: str = "") -> bool:
        """Take one request from the quota bucket; False when it is empty for this minute.

        Models of one lineage share a bucket on global and multi-region endpoints. Token counting has its own.
        """
        limit = self.settings.requests_per_minute
        if limit is None:
            return True
        shared = lineage if location in ("global", "us", "eu") else ""
        window = self._windows.setdefault(f"{project}/{location}/{shared or model}", deque())
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
    """The last requests, oldest first. The oldest are dropped, too, when the bodies together grow too large."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._bytes = 0
        self._entries: deque[HttpExchange] = deque()

    def add(self, exchange: HttpExchange) -> None:
        self._entries.append(exchange)

    def record_body(self, exchange: HttpExchange) -> None:
        """Count the body of a logged request, which is complete now."""
        self._bytes += len(exchange.body)
        while self._entries and (len(self._entries) > self._max_entries or self._bytes > _MAX_LOGGED_BYTES):
            self._bytes -= len(self._entries.popleft().body)

    def clear(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def entries(self) -> list[dict[str, Any]]:
        """The form of ``/_emulator/requests``: exact bodies, headers without credentials, the outcome of each."""
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
    """The body byte for byte if it is JSON, otherwise as text."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
    return msgspec.Raw(body)
