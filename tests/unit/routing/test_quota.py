"""Risk: a failover to the same quota, a client that waits for a quota of zero, or one told "zero" that is not."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from modelmux.errors import UpstreamRefused
from modelmux.routing.model import Deployment
from modelmux.routing.quota import Quota, bucket_of, zero_quota_error

USED_UP = "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model."
SHARED = "Resource exhausted. Please try again later."


def refusal(message: str = USED_UP, retry_after: float | None = None) -> UpstreamRefused:
    return UpstreamRefused(
        message, status=429, type="t", code=None, upstream_status=429, kind="rate_limit", retry_after=retry_after
    )


def after(*refusals: UpstreamRefused, quota: Quota | None = None) -> Quota:
    quota = quota or Quota()
    for error in refusals:
        quota.record_429(error, 100.0)
    return quota


def place(model: str, location: str = "global", project: str = "p") -> Deployment:
    return Deployment("i", f"https://{location}/{model}", project, location, builtin().card(model))


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (place("claude-opus-5-5"), place("claude-opus-5"), True),
        (place("claude-opus-5-5", "eu"), place("claude-opus-5", "eu"), True),
        (place("claude-opus-5-5"), place("claude-opus-5-5", "eu"), False),
        (place("claude-opus-5-5"), place("claude-sonnet-5"), False),
        (place("claude-opus-5-5", "europe-west1"), place("claude-opus-5", "europe-west1"), False),
        (place("claude-opus-4-6"), place("claude-opus-4-5"), False),
        (place("claude-opus-4-6"), place("claude-opus-4-6"), True),
        (place("claude-opus-4-6"), place("claude-opus-4-6", project="q"), False),
        (place("claude-opus-4-6", project=""), place("claude-opus-4-6", project=""), True),
        (place("claude-opus-4-6", "", ""), place("claude-opus-5", "", ""), False),
    ],
)
def test_who_shares_a_quota(one: Deployment, other: Deployment, shared: bool) -> None:
    assert (bucket_of(one) == bucket_of(other)) is shared


def test_a_bucket_rests_as_long_as_was_asked_or_ever_longer() -> None:
    assert (after(refusal(SHARED, 7.0)).cooldown_until, after(refusal(SHARED, 7.0)).server_requested) == (107.0, True)
    quota, rests = Quota(), []
    for _ in range(8):
        quota.record_429(refusal(SHARED), 0.0)
        rests.append(quota.cooldown_until)
    assert rests == [1, 2, 4, 8, 16, 30, 30, 30]
    assert not quota.server_requested


def test_any_answer_ends_the_rest() -> None:
    quota = after(refusal(SHARED), refusal(SHARED))
    quota.record_reply(succeeded=False)
    assert quota == Quota(last_message=SHARED)
    quota.record_reply(succeeded=True)
    assert quota == Quota(last_message=SHARED, succeeded=True)


ZERO = [
    (3 * [USED_UP], True), (2 * [USED_UP], False), ([USED_UP, "Quota of another kind.", USED_UP], False),
    (9 * [SHARED], False), (["Quota exceeded: limit: 0"], True), (["... with quota limit '0' for ..."], True),
    (["The quota is 0."], True), (["limit: 0.5"], False), (["quota 10 used"], False),
]  # fmt: skip


@pytest.mark.parametrize(("said", "zero"), ZERO)
def test_what_is_taken_for_zero(said: list[str], zero: bool) -> None:
    assert after(*map(refusal, said)).is_zero is zero
    had = Quota(succeeded=True)
    assert not after(*map(refusal, said), quota=had).is_zero
    assert not after(*(refusal(text, 1.0) for text in said)).is_zero


def test_zero_is_probed_soon_then_once_a_minute_until_it_answers() -> None:
    quota, rests = after(refusal(), refusal()), []
    for _ in range(5):
        quota.record_429(refusal(), 0.0)
        rests.append(quota.cooldown_until)
    assert rests == [10, 20, 40, 60, 60]
    quota.record_probe(100.0)
    assert quota.cooldown_until == 160.0
    quota.record_reply(succeeded=True)
    assert (quota.is_zero, quota.probes, quota.cooldown_until) == (False, 0, 0.0)


def test_the_answer_for_zero_says_what_to_do_and_not_to_come_back() -> None:
    error = zero_quota_error(place("claude-opus-5"), 12.5)
    assert (error.status, error.code, error.should_retry, error.retry_after) == (429, "insufficient_quota", False, 12.5)
    assert "claude-opus-5 in global" in error.public_message
    assert "Model Garden" in error.public_message
    assert zero_quota_error(place("claude-opus-5"), -3.0).retry_after == 1.0
