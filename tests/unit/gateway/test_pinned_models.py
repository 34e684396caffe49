"""Risk: the memory of which conversation stays with which model grows for ever, or outlives what it is for."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from modelmux.errors import UpstreamRefused
from modelmux.gateway import deployments as module
from modelmux.gateway.conversation import Conversation
from modelmux.gateway.deployments import PINNED_SECONDS, DeploymentPool
from modelmux.routing.model import Deployment, Route
from support.clock import Clock

FIRST, OTHER = "claude-sonnet-4-6", "claude-haiku-4-5"
ONE, TWO, THREE = (("route", "owner", key) for key in (b"1", b"2", b"3"))


def pool() -> tuple[DeploymentPool, Clock]:
    clock = Clock()
    return DeploymentPool(clock), clock


def test_a_pin_lasts_for_an_hour_after_the_last_reply() -> None:
    pins, clock = pool()
    assert pins.pinned_model(ONE) is None
    pins.pin_model(ONE, OTHER, default=FIRST)
    clock.now += PINNED_SECONDS - 1
    assert (pins.pinned_model(ONE), pins.pinned_model(TWO)) == (OTHER, None)
    pins.pin_model(ONE, OTHER, default=FIRST)
    clock.now += PINNED_SECONDS - 1
    assert pins.pinned_model(ONE) == OTHER
    clock.now += 1
    assert pins.pinned_model(ONE) is None


def test_a_reply_of_the_default_model_ends_it() -> None:
    pins, _ = pool()
    pins.pin_model(ONE, OTHER, default=FIRST)
    pins.pin_model(ONE, FIRST, default=FIRST)
    assert pins.pinned_model(ONE) is None
    pins.pin_model(ONE, FIRST, default=FIRST)
    assert not pins._pinned, "most conversations are never pinned"


def test_the_conversation_that_was_silent_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PINNED", 2)
    pins, _ = pool()
    for key in (ONE, TWO, ONE, THREE):
        pins.pin_model(key, OTHER, default=FIRST)
    assert [pins.pinned_model(key) for key in (ONE, TWO, THREE)] == [OTHER, None, OTHER]


def test_whose_thinking_a_model_may_find_in_the_history() -> None:
    assert not Conversation(FIRST).has_foreign_thinking(FIRST)
    assert Conversation(FIRST).has_foreign_thinking(OTHER)
    pinned = Conversation(FIRST, b"1", ONE, OTHER)
    assert pinned.has_foreign_thinking(FIRST)
    assert pinned.has_foreign_thinking(OTHER), "what came before the fallback"


def test_where_no_quota_is_left_the_error_names_the_first_model() -> None:
    pins, clock = pool()
    cards = (builtin().card(name) for name in (FIRST, OTHER))
    route = Route("r", tuple(Deployment(c.base, f"https://h/{c.id}", "p", "eu", c) for c in cards))
    for deployment, cooldown in zip(route.deployments, (60.0, 10.0), strict=True):
        quota = pins.state(deployment).quota
        quota.is_zero = quota.is_stated = True
        quota.cooldown_until = clock.now + cooldown
    with pytest.raises(UpstreamRefused, match=FIRST) as caught:
        pins.first_choice(route, b"1", 0.0)
    assert (caught.value.kind.name, caught.value.retry_after) == ("quota_zero", 60.0)
