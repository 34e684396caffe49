"""Routes with deployments of several models: which there are, in which order, and how far a geography lets them go."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from modelmux.routing.model import Deployment, Route

SONNET, HAIKU, OPUS = (builtin().card(n) for n in ("claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-8"))


def url(model: str, location: str, host: str = "https://proxy.example") -> str:
    return f"{host}/v1/projects/p/locations/{location}/publishers/anthropic/models/{model}"


def deployment(
    card: object = SONNET, location: str = "eu", order: int = 0, host: str = "https://proxy.example"
) -> Deployment:
    assert isinstance(card, type(SONNET))
    return Deployment(f"{card.base}@{location}", url(card.id, location, host), "p", location, card, order=order)


def ids(route: Route) -> list[tuple[str, int]]:
    return [(d.id, d.order) for d in route.deployments]


ONE = Route("one", (deployment(), deployment(location="us")))
MIXED = Route("mixed", (deployment(), deployment(HAIKU), deployment(location="us", order=1)))


def test_the_models_of_a_route() -> None:
    assert (ONE.models, ONE.has_several_models, ONE.card) == ((SONNET,), False, SONNET)
    assert (MIXED.models, MIXED.has_several_models, MIXED.card) == ((SONNET, HAIKU), True, SONNET)
    assert ids(MIXED.of_model(SONNET.id)) == [("claude-sonnet-4-6@eu", 0), ("claude-sonnet-4-6@us", 1)]
    assert ids(MIXED.of_model(HAIKU.id)) == [("claude-haiku-4-5@eu", 0)]
    assert ONE.of_model(SONNET.id) is ONE


def test_fallbacks_come_after_all_others_in_their_order() -> None:
    first, second = Route("a", (deployment(HAIKU, order=3), deployment(HAIKU, "us"))), Route("b", (deployment(OPUS),))
    assert ids(MIXED.of_model(SONNET.id).with_fallbacks([first, second])) == [
        ("claude-sonnet-4-6@eu", 0), ("claude-sonnet-4-6@us", 1), ("claude-haiku-4-5@eu", 5),
        ("claude-haiku-4-5@us", 2), ("claude-opus-4-8@eu", 6),
    ]  # fmt: skip


def test_a_fallback_adds_what_is_new_and_allowed() -> None:
    assert MIXED.with_fallbacks([ONE]) is MIXED
    assert ids(ONE.with_fallbacks([MIXED]))[2:] == [("claude-haiku-4-5@eu", 1)]
    european = Route("e", (deployment(),), geographies=("europe", "eu"))
    assert ids(european.with_fallbacks([Route("a", (deployment(HAIKU, "us"), deployment(OPUS)))]))[1:] == [
        ("claude-opus-4-8@eu", 1)
    ]
    assert european.with_fallbacks([Route("a", (deployment(HAIKU, "us"),))]) is european


HOST = "https://aiplatform.{}.rep.googleapis.com"


@pytest.mark.parametrize(
    ("target", "locations", "allowed"),
    [
        (deployment(), ("eu",), True),
        (deployment(host=HOST.format("eu")), ("eu",), True),
        (deployment(host=HOST.format("us")), ("eu", "us"), False),
        (deployment(location="us"), ("us",), False),
        (deployment(location="europe-west2"), ("europe-west2",), False),
        (Deployment("d", "https://proxy.example/x", "p", "", SONNET), ("",), False),
        (Deployment("d", "https://proxy.example/x", "p", "eu", SONNET), ("eu",), True),
    ],
)
def test_a_call_may_go_where_every_location_of_its_url_is_allowed(
    target: Deployment, locations: tuple[str, ...], allowed: bool
) -> None:
    assert target.all_locations == locations
    assert Route("r", (deployment(),), geographies=("eu",)).allows_deployment(target) is allowed
    assert Route("r", (deployment(),)).allows_deployment(target)
