"""Quota buckets: which deployments share one, its cooldown after a 429, and the detection of a zero quota.

A new Google Cloud project has no quota for a model until it is requested. Vertex AI reports that with the same 429 as
an exhausted quota; what differs is that no request ever succeeded and that every message is the same.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from modelmux.catalog import MULTI_REGION_LOCATIONS
from modelmux.error_kinds import KINDS
from modelmux.errors import UpstreamRefused, UpstreamReply
from modelmux.routing.model import Deployment

#: Seconds of cooldown after a 429 without Retry-After; doubles from the first to the maximum.
FIRST_COOLDOWN: Final = 1.0
MAX_COOLDOWN: Final = 30.0
#: Consecutive identical 429s after which a quota without any success is considered zero.
IDENTICAL_429_LIMIT: Final = 3
#: Seconds between probes of such a quota; the first comes soon, because it may have been a busy minute.
FIRST_PROBE_INTERVAL: Final = 10.0
MAX_PROBE_INTERVAL: Final = 60.0
_MAX_DOUBLINGS: Final = 10

_MENTIONS_QUOTA: Final = re.compile(r"\bquota\b", re.IGNORECASE)  # "Resource exhausted" alone is shared capacity
_ZERO_LIMIT: Final = re.compile(
    r"\b(?:limit|quota)\b(?: value)?(?: is| of)?\s*[:=]?\s*['\"`]?0\b(?![.,]?\d)", re.IGNORECASE
)


def bucket_of(deployment: Deployment) -> tuple[str, str, str]:
    """The key of the bucket a deployment draws from: project, location, and the model or its lineage.

    Models of one lineage share a bucket on ``global`` and in the multi-regions; in a region each model has its own.
    global, us and eu have separate buckets (Google's quota page, in the catalog's ``lineage``).
    """
    card, shared = deployment.card, deployment.location in MULTI_REGION_LOCATIONS
    return deployment.project or deployment.url, deployment.location, (shared and card.lineage) or card.id


class Quota(Struct):
    """The state of one bucket; times in seconds of the caller's clock. Mutable.

    :param consecutive_429: consecutive 429s; ``identical_429`` counts the last ones with one message, no Retry-After.
    :param cooldown_until: other deployments are preferred until then; ``server_requested`` if from a Retry-After.
    :param succeeded: whether any request ever succeeded.
    :param probes: probes sent while the quota was considered zero.
    """

    consecutive_429: int = 0
    identical_429: int = 0
    last_message: str = ""
    cooldown_until: float = 0.0
    server_requested: bool = False
    succeeded: bool = False
    is_zero: bool = False
    probes: int = 0

    def record_429(self, error: UpstreamRefused, now: float) -> None:
        """Count a 429."""
        self.consecutive_429 += 1
        self.server_requested = error.retry_after is not None
        if self.server_requested:
            self.identical_429 = 0
        else:
            self.identical_429 = self.identical_429 + 1 if error.message == self.last_message else 1
        self.last_message = error.message
        self.is_zero = not self.succeeded and not self.server_requested and self._looks_zero(error.message)
        if error.retry_after is not None:
            cooldown = error.retry_after
        elif self.is_zero:
            cooldown = min(MAX_PROBE_INTERVAL, FIRST_PROBE_INTERVAL * 2.0 ** min(self.probes, _MAX_DOUBLINGS))
            self.probes += 1
        else:
            cooldown = min(MAX_COOLDOWN, FIRST_COOLDOWN * 2.0 ** min(self.consecutive_429 - 1, _MAX_DOUBLINGS))
        self.cooldown_until = now + cooldown

    def _looks_zero(self, message: str) -> bool:
        if _ZERO_LIMIT.search(message):
            return True
        return self.identical_429 >= IDENTICAL_429_LIMIT and _MENTIONS_QUOTA.search(message) is not None

    def record_reply(self, *, succeeded: bool) -> None:
        """Count any other outcome.

        :param succeeded: whether the model replied.
        """
        if succeeded:
            self.succeeded, self.is_zero, self.probes = True, False, 0
        if self.consecutive_429:
            self.consecutive_429 = self.identical_429 = 0
            self.cooldown_until, self.server_requested = 0.0, False

    def record_probe(self, now: float) -> None:
        """An attempt probes a bucket considered zero: no second probe until this one has a reply or is overdue."""
        self.cooldown_until = now + MAX_PROBE_INTERVAL


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
