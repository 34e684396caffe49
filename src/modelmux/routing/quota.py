"""Quota buckets: which deployments share one, its cooldown after a 429, and the detection of a zero quota.

A new Google Cloud project has no quota for a model until it is requested. Vertex AI reports that with the same 429 as
an exhausted quota. Quotas are per minute, so only the upstream's own words, or minutes in which no request succeeded
and every message was the same, tell one from the other.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from modelmux.catalog import MULTI_REGION_LOCATIONS
from modelmux.error_kinds import KINDS
from modelmux.errors import UpstreamRefused, UpstreamReply
from modelmux.routing.circuit_breaker import spread
from modelmux.routing.model import Deployment
from modelmux.routing.zero_quota import says_zero_limit

#: Seconds of cooldown after a 429 without Retry-After; doubles from the first to the maximum.
FIRST_COOLDOWN: Final = 1.0
MAX_COOLDOWN: Final = 30.0
#: Seconds of a quota's window, and consecutive windows with the same 429 and nothing else after which a quota without
#: any success is considered zero: more than two minutes, because one minute may be used up by others.
WINDOW: Final = 60.0
WINDOWS_WITHOUT_QUOTA: Final = 3
#: Longest gap between two 429s that are evidence of the same: nothing is known about what happened in a longer one.
MAX_GAP: Final = 1.5 * WINDOW
#: Seconds between probes of such a quota; the first comes soon, because it may have been a busy minute.
FIRST_PROBE_INTERVAL: Final = 10.0
MAX_PROBE_INTERVAL: Final = 60.0
_MAX_DOUBLINGS: Final = 10

_MENTIONS_QUOTA: Final = re.compile(r"\bquota\b", re.IGNORECASE)  # "Resource exhausted" alone is shared capacity


def bucket_of(deployment: Deployment) -> tuple[str, str, str]:
    """The key of the bucket a deployment draws from: project, location, and the model or its lineage.

    Models of one lineage share a bucket on ``global`` and in the multi-regions; in a region each model has its own.
    global, us and eu have separate buckets (Google's quota page, in the catalog's ``lineage``).
    """
    card, shared = deployment.card, deployment.location in MULTI_REGION_LOCATIONS
    return deployment.project or deployment.url, deployment.location, (shared and card.lineage) or card.id


class Quota(Struct):
    """The state of one bucket; times in seconds of the caller's clock. Mutable.

    :param consecutive_429: consecutive 429s.
    :param windows: in how many windows the last of them came, all with one message and no Retry-After, and none long
        after the one before; the latest of these windows began at ``window_start``, and its last 429 so far came at
        ``last_429``.
    :param cooldown_until: other deployments are preferred until then; ``server_requested`` if from a Retry-After.
    :param succeeded: whether any request ever succeeded.
    :param is_zero: considered zero; ``is_stated`` if the upstream said so. Otherwise it is a conclusion, on which no
        request is rejected without being sent.
    :param probes: 429s since the quota is considered zero.
    """

    consecutive_429: int = 0
    windows: int = 0
    window_start: float = 0.0
    last_429: float = 0.0
    last_message: str = ""
    cooldown_until: float = 0.0
    server_requested: bool = False
    succeeded: bool = False
    is_zero: bool = False
    is_stated: bool = False
    probes: int = 0

    def record_429(self, error: UpstreamRefused, now: float, jitter: float = 0.0) -> None:
        """Count a 429.

        :param jitter: a random number from 0 to 1, for a cooldown that the upstream did not ask for.
        """
        self.consecutive_429 += 1
        self.server_requested = error.retry_after is not None
        says_quota = error.message != error.kind.message and _MENTIONS_QUOTA.search(error.message) is not None
        if self.server_requested or not says_quota:
            self.windows = 0
        elif not self.windows or error.message != self.last_message or now - self.last_429 > MAX_GAP:
            self.windows, self.window_start = 1, now
        elif now - self.window_start >= WINDOW:
            self.windows, self.window_start = self.windows + 1, now
        self.last_message, self.last_429 = error.message, now
        may_be_zero = not self.succeeded and not self.server_requested
        self.is_stated = may_be_zero and _says_zero(error)
        self.is_zero = self.is_stated or (may_be_zero and self.windows >= WINDOWS_WITHOUT_QUOTA)
        if error.retry_after is not None:
            cooldown = error.retry_after
        elif self.is_zero:
            cooldown = min(MAX_PROBE_INTERVAL, FIRST_PROBE_INTERVAL * 2.0 ** min(self.probes, _MAX_DOUBLINGS))
            cooldown = spread(cooldown, jitter)
            self.probes += 1
        else:
            cooldown = min(MAX_COOLDOWN, FIRST_COOLDOWN * 2.0 ** min(self.consecutive_429 - 1, _MAX_DOUBLINGS))
            cooldown = spread(cooldown, jitter)
        self.cooldown_until = now + cooldown

    def record_reply(self, *, succeeded: bool) -> None:
        """Count any other outcome.

        :param succeeded: whether the model replied.
        """
        if succeeded:
            self.succeeded, self.is_zero, self.is_stated, self.probes = True, False, False, 0
        if self.consecutive_429:
            self.consecutive_429 = self.windows = 0
            self.last_429, self.cooldown_until, self.server_requested = 0.0, 0.0, False

    def record_probe(self, now: float) -> None:
        """An attempt probes a bucket that is stated to be zero: no second probe until this one has a reply or is
        overdue."""
        self.cooldown_until = now + MAX_PROBE_INTERVAL


def _says_zero(error: UpstreamRefused) -> bool:
    """Whether the upstream says that the limit is zero; the number that it names apart from its words takes
    precedence."""
    return says_zero_limit(error.message) if error.quota_limit is None else error.quota_limit == 0


def zero_quota_error(deployment: Deployment, retry_after: float) -> UpstreamRefused:
    """The error for a quota of zero, with the remedy.

    :param retry_after: seconds until the next probe.
    """
    return UpstreamRefused(
        f"Vertex AI rejected every request for {deployment.card.id} in {deployment.location or 'this location'}: "
        "the quota seems to be zero.",
        KINDS["quota_zero"],
        UpstreamReply(429),
        retry_after=max(1.0, retry_after),
    )
