"""Quota buckets: which deployments share one, how long one rests after a 429, and how one that is zero is known.

A new Google Cloud project has no quota for a model until somebody asks for it, and says so with the same 429 as a
quota that is used up for now. What tells them apart: nothing ever succeeded, and every answer is the same text.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from modelmux.catalog import MULTI_REGION_LOCATIONS
from modelmux.errors import UpstreamRefused
from modelmux.routing.routes import Deployment

#: Seconds a bucket rests after a 429 that names none: doubling from the first to the last.
FIRST_REST: Final = 1.0
LONGEST_REST: Final = 30.0
#: Identical refusals in a row after which a quota that never gave anything is taken for zero.
IDENTICAL: Final = 3
#: Seconds between probes of such a quota: the first soon, because it may have been a busy minute after all.
FIRST_PROBE: Final = 10.0
LONGEST_PROBE: Final = 60.0
_MAX_DOUBLINGS: Final = 10

_OF_A_QUOTA: Final = re.compile(r"\bquota\b", re.IGNORECASE)  # "Resource exhausted" alone is shared capacity
_ZERO: Final = re.compile(r"\b(?:limit|quota)\b(?: value)?(?: is| of)?\s*[:=]?\s*['\"`]?0\b(?![.,]?\d)", re.IGNORECASE)


def bucket_of(deployment: Deployment) -> tuple[str, str, str]:
    """What a deployment shares its quota by: project, location, and the model or its lineage.

    Models of one lineage share a bucket on ``global`` and the multi-regions; in a region each has its own. global, us
    and eu are apart (Google's quota page, in the catalog's ``lineage``).
    """
    card, wide = deployment.card, deployment.location in MULTI_REGION_LOCATIONS
    return deployment.project or deployment.url, deployment.location, (wide and card.lineage) or card.id


class Quota(Struct):
    """What is remembered of a bucket; times in seconds of the caller's clock. Changed in place.

    :param row: 429s in a row; ``same`` of them identical and without Retry-After.
    :param said: the last one's message.
    :param quiet_until: others are preferred until then; ``asked`` if that is the upstream's word.
    """

    row: int = 0
    same: int = 0
    said: str = ""
    quiet_until: float = 0.0
    asked: bool = False
    succeeded: bool = False
    zero: bool = False
    probes: int = 0

    def refused(self, error: UpstreamRefused, now: float) -> None:
        """A 429 came."""
        self.row += 1
        self.asked = error.retry_after is not None
        self.same = 0 if self.asked else self.same + 1 if error.message == self.said else 1
        self.said = error.message
        self.zero = not self.succeeded and not self.asked and self._looks_zero(error.message)
        if error.retry_after is not None:
            rest = error.retry_after
        elif self.zero:
            rest = min(LONGEST_PROBE, FIRST_PROBE * 2.0 ** min(self.probes, _MAX_DOUBLINGS))
            self.probes += 1
        else:
            rest = min(LONGEST_REST, FIRST_REST * 2.0 ** min(self.row - 1, _MAX_DOUBLINGS))
        self.quiet_until = now + rest

    def _looks_zero(self, message: str) -> bool:
        if _ZERO.search(message):
            return True
        return self.same >= IDENTICAL and _OF_A_QUOTA.search(message) is not None

    def answered(self, *, well: bool) -> None:
        """Anything but a 429 came; ``well`` if it was an answer of the model."""
        if well:
            self.succeeded, self.zero, self.probes = True, False, 0
        if self.row:
            self.row = self.same = 0
            self.quiet_until, self.asked = 0.0, False

    def probing(self, now: float) -> None:
        """An attempt goes to a bucket taken for zero: no second one until its answer is there, or late."""
        self.quiet_until = now + LONGEST_PROBE


def zero_quota(deployment: Deployment, quiet_for: float) -> UpstreamRefused:
    """The answer for a quota that is zero, with the remedy.

    :param quiet_for: seconds until the next probe.
    """
    return UpstreamRefused(
        f"Vertex AI has refused every request for {deployment.card.id} in {deployment.location or 'this location'} "
        "for its quota, which seems to be zero.",
        status=429,
        type="rate_limit_error",
        code="insufficient_quota",
        upstream_status=429,
        kind="rate_limit",
        hint="Enable the model in the Model Garden and request quota for it in the Google Cloud console (IAM & Admin, "
        "Quotas & System Limits); retrying does not help.",
        should_retry=False,
        retry_after=max(1.0, quiet_for),
    )
