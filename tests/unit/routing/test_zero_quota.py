"""Risk: a quota that is used up for a minute is taken for one of zero, or one of zero is not told."""

from __future__ import annotations

import pytest

from modelmux.routing.zero_quota import says_zero_limit

ZERO = [
    "Quota limit is zero for this model.", "Your quota for this model is zero.",
    "You have no quota for claude-sonnet-4-6.", "You have no quota", "quota is 0", "Quota exceeded: limit 0",
    "limit of 0 requests per minute", "Quota 'x' with limit '0' exceeded", "quota_limit_value: 0",
    'quota limit value "0"', '{"quota_limit_value":"0"}', "Quota limit: 0.", "The limit is set to 0.",
    "The limit is set to 0", "current quota is zero", "No quota is assigned to this project",
    "No quota has been granted.", "Your project has zero quota for base model", "zero quota",
    "Quota limit 'OnlinePrediction' has been exceeded. Limit: 0 in region global.", "0 quota", "limit=0",
    "limit: 0/min", "limit: 0 requests per minute", "limit (0)", "has a quota of zero tokens per minute",
    "limit: 0 (requested 1)", "quota has not been granted", "quota limit currently set at 0", "Limit 0.0",
    "quota is 0 TPM", "effective limit is 0", "maximum quota: 0", "limit: 00", "limit: 0 / minute",
    "Quota exceeded, limit: 0, remaining: 0", "Quota for claude-opus-4-6 in us-east5: 0",
]  # fmt: skip
NOT_ZERO = [
    "Your remaining token quota is 0. Retry in 20 seconds.", "remaining requests under this limit: 0",
    "Tokens left in your quota: 0", "Quota remaining for this limit: 0", "quota: 0% left",
    "Your current quota is 0 for the next 20 seconds", "Your remaining token quota is 0.",
    "Available quota for this minute: 0", "Quota left: 0", "limit 0.5", "limit: 0,5", "quota: 0 remaining",
    "0 of 100 quota remaining", "remaining input token limit: 0", "You have 0 quota remaining",
    "limit: 0 tokens are left", "Your quota is exhausted; limit: 1000, remaining: 0",
    "quota usage limit: 0 of 5000 left", "rate limit, retry in 0 s: limit 0s", "Unused quota is 0",
    "requests remaining in quota = 0", "remaining_quota: 0", "remaining_limit=0",
    "limit: 0 tokens per minute remaining until reset", "limit: 0%", "quota 0 / 60", "limit: 0 of 60",
    "Your token quota is 0. Please retry in 20s.", "Your quota is 0 this minute", "Quota is 0 until 12:00",
    "You have no quota left.", "You have no quota project.", "There is no quota limit", "limit 10", "quota limit: 100",
    "Quota exceeded for x.", "the backlimit: 0", "limits.example: 0x10", "limit: 0-5", "",
]  # fmt: skip


@pytest.mark.parametrize("message", ZERO)
def test_words_that_say_a_limit_of_zero(message: str) -> None:
    assert says_zero_limit(message)


@pytest.mark.parametrize("message", NOT_ZERO)
def test_words_that_say_something_else(message: str) -> None:
    assert not says_zero_limit(message)
