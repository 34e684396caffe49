"""Risk: a failover within one quota, a client that waits for a quota of zero, or a false report of a zero quota."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from modelmux.error_kinds import KINDS
from modelmux.errors import UpstreamRefused, UpstreamReply
from modelmux.routing.model import Deployment
from modelmux.routing.quota import Quota, bucket_of, zero_quota_error

EXHAUSTED = "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model."
SHARED = "Resource exhausted. Please try again later."


def rate_limit(message: str = EXHAUSTED, retry_after: float | None = None) -> UpstreamRefused:
    return UpstreamRefused(message, KINDS["rate_limit"], UpstreamReply(429), retry_after=retry_after)


def after(*errors: UpstreamRefused, quota: Quota | None = None) -> Quota:
    quota = quota or Quota()
    for error in errors:
        quota.record_429(error, 100.0)
    return quota


def deployment(model: str, location: str = "global", project: str = "p") -> Deployment:
    return Deployment("i", f"https://{location}/{model}", project, location, builtin().card(model))


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (deployment("claude-opus-5-5"), deployment("claude-opus-5"), True),
        (deployment("claude-opus-5-5", "eu"), deployment("claude-opus-5", "eu"), True),
        (deployment("claude-opus-5-5"), deployment("claude-opus-5-5", "eu"), False),
        (deployment("claude-opus-5-5"), deployment("claude-sonnet-5"), False),
        (deployment("claude-opus-5-5", "europe-west1"), deployment("claude-opus-5", "europe-west1"), False),
        (deployment("claude-opus-4-6"), deployment("claude-opus-4-5"), False),
        (deployment("claude-opus-4-6"), deployment("claude-opus-4-6"), True),
        (deployment("claude-opus-4-6"), deployment("claude-opus-4-6", project="q"), False),
        (deployment("claude-opus-4-6", project=""), deployment("claude-opus-4-6", project=""), True),
        (deployment("claude-opus-4-6", "", ""), deployment("claude-opus-5", "", ""), False),
    ],
)
def test_which_deployments_share_a_quota(one: Deployment, other: Deployment, shared: bool) -> None:
    assert (bucket_of(one) == bucket_of(other)) is shared


def test_the_cooldown_is_the_retry_after_or_doubles() -> None:
    assert (after(rate_limit(SHARED, 7.0)).cooldown_until, after(rate_limit(SHARED, 7.0)).server_requested) == (
        107.0,
        True,
    )
    quota, cooldowns = Quota(), []
    for _ in range(8):
        quota.record_429(rate_limit(SHARED), 0.0)
        cooldowns.append(quota.cooldown_until)
    assert cooldowns == [1, 2, 4, 8, 16, 30, 30, 30]
    assert not quota.server_requested


def test_what_the_upstream_asked_for_is_kept_and_what_we_make_up_has_a_random_part() -> None:
    asked, made_up, zero = Quota(), Quota(), Quota()
    asked.record_429(rate_limit(SHARED, 7.0), 100.0, 1.0)
    made_up.record_429(rate_limit(SHARED), 100.0, 1.0)
    zero.record_429(rate_limit("Quota exceeded: limit: 0"), 100.0, 0.5)
    assert zero.is_stated
    assert (asked.cooldown_until, made_up.cooldown_until, zero.cooldown_until) == (107.0, 101.25, 111.25)


def test_any_reply_ends_the_cooldown() -> None:
    quota = after(rate_limit(SHARED), rate_limit(SHARED))
    quota.record_reply(succeeded=False)
    assert quota == Quota(last_message=SHARED)
    quota.record_reply(succeeded=True)
    assert quota == Quota(last_message=SHARED, succeeded=True)


ZERO = [
    ("Quota exceeded: limit: 0", True), ("... with quota limit '0' for ...", True), ("The quota is 0.", True),
    ("quota limit value 0", True), ("limit of 0 requests per minute", True), ("limit: 0 / minute", True),
    (EXHAUSTED, False), (SHARED, False), ("limit: 0.5", False), ("quota 10 used", False), ("limit: 0,5", False),
    ("remaining quota: 0", False), ("Your available quota is 0.", False), ("limit: 0 tokens per minute left", False),
    ("quota: 0 remaining", False), ("quota 0 / 60", False), ("Please submit a quota increase request.", False),
]  # fmt: skip


@pytest.mark.parametrize(("message", "zero"), ZERO)
def test_which_words_say_that_a_quota_is_zero(message: str, zero: bool) -> None:
    quota = after(rate_limit(message))
    assert (quota.is_zero, quota.is_stated) == (zero, zero)
    assert not after(rate_limit(message), quota=Quota(succeeded=True)).is_zero
    assert not after(rate_limit(message, 1.0)).is_zero


@pytest.mark.parametrize(
    ("message", "limit", "zero"),
    [(EXHAUSTED, 0.0, True), (EXHAUSTED, 60.0, False), ("limit: 0", 60.0, False), ("limit: 0", None, True)],
)
def test_a_limit_in_the_details_takes_precedence_over_words(message: str, limit: float | None, zero: bool) -> None:
    error = rate_limit(message)
    error.quota_limit = limit
    assert (after(error).is_zero, after(error).is_stated) == (zero, zero)


#: Seconds of 429s and their messages; whether the last of them means a quota of zero.
EVIDENCE = [
    ([(0, EXHAUSTED), (0.3, EXHAUSTED), (0.9, EXHAUSTED)], False),
    ([(second, EXHAUSTED) for second in range(60)], False),
    ([(second, EXHAUSTED) for second in range(119)], False),
    ([(second, EXHAUSTED) for second in range(121)], True),
    ([(0, EXHAUSTED), (60, EXHAUSTED)], False),
    ([(0, EXHAUSTED), (120, EXHAUSTED)], False),
    ([(0, EXHAUSTED), (60, EXHAUSTED), (120, EXHAUSTED)], True),
    ([(0, EXHAUSTED), (60, "Quota of another kind."), (120, EXHAUSTED), (180, EXHAUSTED)], False),
    ([(0, EXHAUSTED), (3600, EXHAUSTED), (7200, EXHAUSTED)], False),
    ([(0, EXHAUSTED), (60, EXHAUSTED), (86_460, EXHAUSTED)], False),
    ([(0, EXHAUSTED), (60, EXHAUSTED), (86_460, EXHAUSTED), (86_520, EXHAUSTED)], False),
    ([(0, EXHAUSTED), (86_400, EXHAUSTED), (86_460, EXHAUSTED), (86_520, EXHAUSTED)], True),
    ([(0, EXHAUSTED), (60, EXHAUSTED), (120, EXHAUSTED), (3600, EXHAUSTED)], False),
    ([(0, EXHAUSTED), (63, EXHAUSTED), (126, EXHAUSTED)], True),
    ([(60 * minute, SHARED) for minute in range(9)], False),
    ([(60 * minute, "") for minute in range(9)], False),
]


@pytest.mark.parametrize(("refusals", "zero"), EVIDENCE)
def test_a_quota_is_concluded_to_be_zero_from_minutes_of_refusals_only(
    refusals: list[tuple[float, str]], zero: bool
) -> None:
    quota, used_before, with_a_time = Quota(), Quota(succeeded=True), Quota()
    for second, message in refusals:
        quota.record_429(rate_limit(message), second)
        used_before.record_429(rate_limit(message), second)
        with_a_time.record_429(rate_limit(message, 1.0), second)
    assert (quota.is_zero, quota.is_stated) == (zero, False)
    assert not used_before.is_zero
    assert not with_a_time.is_zero


def test_any_other_reply_begins_the_evidence_anew() -> None:
    quota = Quota()
    for minute in range(9):
        quota.record_429(rate_limit(), 60.0 * minute)
        if minute % 2:
            quota.record_reply(succeeded=False)
        assert not quota.is_zero


def test_a_zero_quota_is_probed_soon_then_once_a_minute_until_a_success() -> None:
    quota, cooldowns = Quota(), []
    for _ in range(5):
        quota.record_429(rate_limit("limit: 0"), 0.0)
        cooldowns.append(quota.cooldown_until)
    assert cooldowns == [10, 20, 40, 60, 60]
    quota.record_probe(100.0)
    assert quota.cooldown_until == 160.0
    quota.record_reply(succeeded=True)
    assert (quota.is_zero, quota.is_stated, quota.probes, quota.cooldown_until) == (False, False, 0, 0.0)


def test_the_error_for_a_zero_quota_has_the_remedy_and_forbids_retries() -> None:
    error = zero_quota_error(deployment("claude-opus-5"), 12.5)
    assert (error.status, error.code, error.should_retry, error.retry_after) == (429, "insufficient_quota", False, 12.5)
    assert "claude-opus-5 in global" in error.public_message
    assert "Model Garden" in error.public_message
    assert zero_quota_error(deployment("claude-opus-5"), -3.0).retry_after == 1.0
