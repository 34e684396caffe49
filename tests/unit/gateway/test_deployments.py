"""Risk: a probe that is never returned, so that a deployment stays out for ever; two probes at a time; a slot released
twice, or never; limits that a reload does not apply."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.error_kinds import KINDS
from modelmux.errors import (
    GatewayError,
    GatewayOverloaded,
    InvalidRequest,
    UpstreamRefused,
    UpstreamReply,
    UpstreamUnreachable,
)
from modelmux.gateway.deployments import DeploymentPool
from modelmux.routing.model import Deployment, Route
from modelmux.telemetry.deployment_report import DeploymentReport
from support.clock import Clock

CARD = builtin().card("claude-sonnet-4-6")
A = Deployment("a", "https://a/m", "p", "us-east5", CARD)
B = Deployment("b", "https://b/m", "p", "europe-west1", CARD)
ONE, TWO = Route("r", (A,)), Route("r", (A, B))
DOWN = UpstreamUnreachable("no route")
FOREVER = float("inf")


def pool_and_events(share: int = 1) -> tuple[DeploymentPool, Clock, list[tuple[str, str]]]:
    clock, events = Clock(100.0), list[tuple[str, str]]()

    def note(deployment: Deployment, event: str) -> None:
        events.append((deployment.id, event))

    return DeploymentPool(clock, note, share=share), clock, events


async def fail(pool: DeploymentPool, deployment: Deployment, times: int, error: GatewayError = DOWN) -> None:
    for _ in range(times):
        lease = await pool.acquire(deployment, FOREVER)
        lease.record_failure(error)
        lease.release()


def zero() -> UpstreamRefused:
    return UpstreamRefused("Quota limit: 0", KINDS["rate_limit"], UpstreamReply(429))


async def test_one_probe_at_a_time_and_a_client_that_leaves_frees_it() -> None:
    pool, clock, events = pool_and_events()
    await fail(pool, A, 5)
    assert events == [("a", "open")]
    assert pool.first_choice(TWO, None, 0.0) is B
    clock.now += 6
    probe = await pool.acquire(A, FOREVER)
    assert pool.availability(TWO)[0].unavailable, "the next request goes elsewhere"
    probe.release()
    assert not pool.availability(TWO)[0].unavailable, "it proved nothing: the next request is the probe"
    again = await pool.acquire(A, FOREVER)
    again.record_success()
    again.release()
    assert events == [("a", "open"), ("a", "closed")]
    assert not pool.availability(TWO)[0].unavailable


async def test_cooldowns_have_a_random_part() -> None:
    clock = Clock(100.0)
    pool = DeploymentPool(clock, jitter=lambda: 1.0)
    await fail(pool, A, 5)
    await fail(pool, B, 1, UpstreamRefused("Busy", KINDS["rate_limit"], UpstreamReply(429)))
    assert [known.available_at for known in pool.availability(TWO)] == [106.25, 101.25]


async def test_reports_have_what_is_used_or_left_alone_and_until_when() -> None:
    clock = Clock(100.0)
    pool = DeploymentPool(clock)
    assert pool.reports(5000.0) == []
    lease = await pool.acquire(A, FOREVER)
    assert pool.reports(5000.0) == [DeploymentReport(id="a", in_flight=1)]
    lease.record_success()
    lease.release()
    assert pool.reports(5000.0) == [], "it is well, and runs nothing"
    await fail(pool, A, 5)
    await fail(pool, B, 1, UpstreamRefused("Busy", KINDS["rate_limit"], UpstreamReply(429)))
    reports = {one.id: one for one in pool.reports(5000.0)}
    assert reports["a"] == DeploymentReport(id="a", circuit="open", until=5005.0)
    assert reports["b"] == DeploymentReport(id="b", quota="cooldown", until=5001.0)
    clock.now += 6
    assert pool.reports(5006.0) == [DeploymentReport(id="a", circuit="open")], "no probe began yet"
    probe = await pool.acquire(A, FOREVER)
    assert pool.reports(5006.0) == [DeploymentReport(id="a", in_flight=1, circuit="half_open")]
    probe.record_success()
    probe.release()
    assert pool.reports(5006.0) == []
    other = DeploymentPool(clock)
    await fail(other, A, 1, zero())
    clock.now += 3600
    assert other.reports(9000.0) == [DeploymentReport(id="a", quota="zero")], "it is zero until a call succeeds"


async def test_a_lease_is_released_once() -> None:
    pool, _, _ = pool_and_events()
    lease = await pool.acquire(A, FOREVER)
    other = await pool.acquire(A, FOREVER)
    lease.release()
    lease.release()
    assert [row[2] for row in pool.snapshot()] == [1]
    other.release()
    assert [row[2] for row in pool.snapshot()] == [0]


async def test_a_client_error_frees_the_probe() -> None:
    pool, clock, _ = pool_and_events()
    await fail(pool, A, 5)
    clock.now += 6
    await fail(pool, A, 1, InvalidRequest("no"))
    assert not pool.availability(ONE)[0].unavailable


async def test_a_quota_of_zero_is_probed_by_one_request_at_a_time() -> None:
    pool, clock, events = pool_and_events()
    await fail(pool, A, 1, zero())
    assert events == [("a", "no_quota")]
    with pytest.raises(UpstreamRefused, match="seems to be zero"):
        pool.first_choice(ONE, None, 0.0)
    assert pool.first_choice(TWO, None, 0.0) is B
    clock.now += 11
    assert pool.first_choice(ONE, None, 0.0) is A
    probe = await pool.acquire(A, FOREVER)
    with pytest.raises(UpstreamRefused):
        pool.first_choice(ONE, None, 0.0)
    probe.record_success()
    probe.release()
    assert pool.first_choice(ONE, None, 0.0) is A


async def test_no_request_is_rejected_on_the_conclusion_that_a_quota_is_zero() -> None:
    pool, clock, events = pool_and_events()
    exhausted = UpstreamRefused("Quota exceeded.", KINDS["rate_limit"], UpstreamReply(429))
    for _ in range(4):
        await fail(pool, A, 1, exhausted)
        await fail(pool, B, 1, zero())
        clock.now += 60
    assert ("a", "no_quota") in events
    clock.now -= 59
    assert pool.availability(TWO)[0].unavailable
    assert pool.first_choice(ONE, None, 0.0) is A
    assert pool.first_choice(TWO, None, 0.0) is A, "of the other one, the upstream has said it"
    await fail(pool, A, 1, exhausted)
    assert pool.first_choice(TWO, None, 0.0) is A


async def test_limits_are_divided_and_a_reload_applies_to_waiters() -> None:
    limited = replace(A, max_in_flight=3)
    pool, _, _ = pool_and_events(share=2)
    pool.retain([limited])
    leases = [await pool.acquire(limited, FOREVER) for _ in range(2)]
    waiting = asyncio.create_task(pool.acquire(limited, FOREVER))
    await asyncio.sleep(0)
    assert not waiting.done()
    pool.retain([replace(A, max_in_flight=6)])
    leases.append(await waiting)
    for lease in leases:
        lease.release()
    assert [row[2] for row in pool.snapshot()] == [0]


async def test_no_attempt_waits_beyond_the_deadline() -> None:
    limited = replace(A, max_in_flight=1)
    pool, _, _ = pool_and_events()
    lease = await pool.acquire(limited, FOREVER)
    with pytest.raises(GatewayOverloaded, match="deployment a"):
        await pool.acquire(limited, 0.0)
    lease.release()


async def test_a_reload_drops_removed_deployments_and_keeps_the_others() -> None:
    pool, _, _ = pool_and_events()
    await fail(pool, A, 5)
    await fail(pool, B, 5)
    pool.retain([replace(A, id="renamed")])
    assert [row[:2] for row in pool.snapshot()] == [("renamed", True)]
    assert not pool.availability(TWO)[1].unavailable
