"""Risk: a probe that is never given back, so that a place stays out for ever; two probes at a time; a place that is
left twice, or never; limits that a reload forgets."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.errors import GatewayOverloaded, InvalidRequest, UpstreamRefused, UpstreamUnreachable
from modelmux.gateway.deployments import Fleet
from modelmux.routing.model import Deployment, Route
from support.clock import Clock

CARD = builtin().card("claude-sonnet-4-6")
A = Deployment("a", "https://a/m", "p", "us-east5", CARD)
B = Deployment("b", "https://b/m", "p", "europe-west1", CARD)
ONE, TWO = Route("r", (A,)), Route("r", (A, B))
DOWN = UpstreamUnreachable("no route")
FOREVER = float("inf")


def told(fleet_of: dict[str, object] | None = None) -> tuple[Fleet, Clock, list[tuple[str, str]]]:
    clock, said = Clock(100.0), list[tuple[str, str]]()
    fleet = Fleet(clock, lambda deployment, what: said.append((deployment.id, what)), **(fleet_of or {}))  # type: ignore[arg-type]
    return fleet, clock, said


async def fail(fleet: Fleet, deployment: Deployment, times: int, error: Exception = DOWN) -> None:
    for _ in range(times):
        stay = await fleet.enter(deployment, FOREVER)
        stay.failed(error)  # type: ignore[arg-type]
        stay.leave()


def zero() -> UpstreamRefused:
    return UpstreamRefused(
        "Quota limit: 0", status=429, type="rate_limit_error", code=None, upstream_status=429, kind="rate_limit"
    )


async def test_one_probe_at_a_time_and_its_place_is_given_back_when_the_client_leaves() -> None:
    fleet, clock, said = told()
    await fail(fleet, A, 5)
    assert said == [("a", "open")]
    assert fleet.first(TWO, None, 0.0) is B
    clock.now += 6
    probe = await fleet.enter(A, FOREVER)
    assert fleet.standings(TWO)[0].unavailable, "who comes now goes elsewhere"
    probe.leave()
    assert not fleet.standings(TWO)[0].unavailable, "it proved nothing: the next one tries"
    again = await fleet.enter(A, FOREVER)
    again.succeeded()
    again.leave()
    assert said == [("a", "open"), ("a", "closed")]
    assert not fleet.standings(TWO)[0].unavailable


async def test_a_stay_is_left_once() -> None:
    fleet, _, _ = told()
    stay = await fleet.enter(A, FOREVER)
    other = await fleet.enter(A, FOREVER)
    stay.leave()
    stay.leave()
    assert [row[2] for row in fleet.seen()] == [1]
    other.leave()
    assert [row[2] for row in fleet.seen()] == [0]


async def test_a_mistake_of_the_client_frees_the_probe_too() -> None:
    fleet, clock, _ = told()
    await fail(fleet, A, 5)
    clock.now += 6
    await fail(fleet, A, 1, InvalidRequest("no"))
    assert not fleet.standings(ONE)[0].unavailable


async def test_a_quota_of_zero_is_probed_by_one_request_at_a_time() -> None:
    fleet, clock, said = told()
    await fail(fleet, A, 1, zero())
    assert said == [("a", "no_quota")]
    with pytest.raises(UpstreamRefused, match="seems to be zero"):
        fleet.first(ONE, None, 0.0)
    assert fleet.first(TWO, None, 0.0) is B
    clock.now += 11
    assert fleet.first(ONE, None, 0.0) is A
    probe = await fleet.enter(A, FOREVER)
    with pytest.raises(UpstreamRefused):
        fleet.first(ONE, None, 0.0)
    probe.succeeded()
    probe.leave()
    assert fleet.first(ONE, None, 0.0) is A


async def test_limits_are_shared_out_and_a_reload_changes_them_for_who_waits() -> None:
    limited = replace(A, max_in_flight=3)
    fleet, _, _ = told({"share": 2})
    fleet.settle_for([limited])
    stays = [await fleet.enter(limited, FOREVER) for _ in range(2)]
    waiting = asyncio.create_task(fleet.enter(limited, FOREVER))
    await asyncio.sleep(0)
    assert not waiting.done()
    fleet.settle_for([replace(A, max_in_flight=6)])
    stays.append(await waiting)
    for stay in stays:
        stay.leave()
    assert [row[2] for row in fleet.seen()] == [0]


async def test_nobody_waits_beyond_the_deadline() -> None:
    limited = replace(A, max_in_flight=1)
    fleet, _, _ = told()
    stay = await fleet.enter(limited, FOREVER)
    with pytest.raises(GatewayOverloaded, match="deployment a"):
        await fleet.enter(limited, 0.0)
    stay.leave()


async def test_what_is_gone_from_the_configuration_is_forgotten_and_the_rest_is_not() -> None:
    fleet, _, _ = told()
    await fail(fleet, A, 5)
    await fail(fleet, B, 5)
    fleet.settle_for([replace(A, id="renamed")])
    assert [row[:2] for row in fleet.seen()] == [("renamed", True)]
    assert not fleet.standings(TWO)[1].unavailable
