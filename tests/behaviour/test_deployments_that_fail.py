"""Risk: a failing deployment is called again and again, retries multiply an outage, a quota of zero delays every
request, or what one request learnt is lost to the next."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.errors import UpstreamBroken, UpstreamUnreachable
from modelmux.wire.http import HttpCall
from support.asgi import Response, request
from support.clock import Clock, use_runtime
from support.fakes import FakeReply, FakeUpstream, error_reply, message_reply, stream_reply, text_events
from support.gateway import PATH, ask, gateway

TWO = {"name": "m", "model": "claude-sonnet-4-6", "locations": ["eu", "us"]}
EU, US = "aiplatform.eu.rep.googleapis.com", "aiplatform.us.rep.googleapis.com"
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    use_runtime(
        monkeypatch, now=lambda: 1_800_000_000.0, clock=clock, sleep=clock.sleep, jitter=random.Random(7).random
    )
    return clock


class Upstream(FakeUpstream):
    """Answers by host, as often as it is asked."""

    def __init__(self, **answers: Callable[[], Any]) -> None:
        super().__init__([])
        self.answers = answers

    async def send(self, call: HttpCall) -> FakeReply:
        self.calls.append(call)
        answer = self.answers["eu" if call.origin.host == EU else "us" if call.origin.host == US else "rest"]()
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, FakeReply)
        return answer

    def hosts(self) -> list[str]:
        return [call.origin.host for call in self.calls]


def overloaded() -> FakeReply:
    return error_reply(529, OVERLOADED)


def quota(message: str) -> Callable[[], FakeReply]:
    return lambda: error_reply(429, [{"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}}])


async def call(app: Gateway, text: str = "Hi", **fields: Any) -> Response:
    return await request(app, "POST", PATH, {**ask(text, **fields), "model": "m"})


def value(app: Gateway, name: str, **labels: str) -> float | None:
    return app.metrics.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    "failure",
    [overloaded, lambda: UpstreamUnreachable("no route"), lambda: stream_reply(*text_events("x")[:2])],
    ids=["529", "no connection", "cut"],
)
async def test_a_failing_deployment_is_skipped_until_it_recovers(clock: Clock, failure: Callable[[], Any]) -> None:
    upstream = Upstream(eu=failure, us=lambda: stream_reply(*text_events("fine")))
    app = gateway(upstream, vertex={"models": [TWO]})
    for _ in range(5):
        assert (await call(app, stream=True)).headers["x-modelmux-attempts"] == "2"
    assert value(app, "modelmux_deployment_circuit_open", deployment="m@eu") == 1
    del upstream.calls[:]
    for _ in range(10):
        assert (await call(app, stream=True)).headers["x-modelmux-attempts"] == "1"
    assert upstream.hosts() == [US] * 10, "it costs no request an attempt any more"

    clock.now += 1.25 * 5  # with the whole random part
    assert (await call(app, stream=True)).headers["x-modelmux-attempts"] == "2", "the probe"
    assert (await call(app, stream=True)).headers["x-modelmux-attempts"] == "1", "failed: longer this time"
    clock.now += 9
    assert (await call(app, stream=True)).headers["x-modelmux-attempts"] == "1"
    clock.now += 1 + 0.25 * 10
    upstream.answers["eu"] = upstream.answers["us"]
    assert (await call(app, stream=True)).headers["x-modelmux-deployment"] == "m@eu"
    assert (await call(app, stream=True)).headers["x-modelmux-deployment"] == "m@eu"
    assert value(app, "modelmux_deployment_circuit_open", deployment="m@eu") == 0
    assert value(app, "modelmux_deployment_in_flight", deployment="m@eu") == 0
    assert value(app, "modelmux_deployment_in_flight", deployment="m@us") == 0


async def test_broken_streams_count_against_their_deployment(clock: Clock) -> None:
    broken = [*text_events("x")[:4], UpstreamBroken("reset", reply_started=True)]
    upstream = Upstream(eu=lambda: stream_reply(*broken), us=lambda: stream_reply(*text_events("fine")))
    app = gateway(upstream, vertex={"models": [TWO]})
    for _ in range(12):
        await call(app, stream=True)
    assert upstream.hosts()[-1] == US
    assert value(app, "modelmux_deployment_circuit_open", deployment="m@eu") == 1


async def test_the_only_deployment_is_tried_all_the_same(clock: Clock) -> None:
    upstream = Upstream(rest=lambda: UpstreamUnreachable("no route"))
    app = gateway(upstream, retries={"max": 0})
    for _ in range(20):
        assert (await request(app, "POST", PATH, ask())).status == 502
    upstream.answers["rest"] = message_reply
    assert (await request(app, "POST", PATH, ask())).status == 200
    assert len(upstream.calls) == 21


async def test_errors_of_the_request_do_not_count_against_a_deployment(clock: Clock) -> None:
    bad = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    upstream = Upstream(eu=lambda: error_reply(400, bad), us=message_reply)
    app = gateway(upstream, vertex={"models": [TWO]})
    for _ in range(20):
        assert (await call(app)).status == 400
    assert value(app, "modelmux_deployment_circuit_open", deployment="m@eu") == 0


async def test_an_outage_is_not_multiplied(clock: Clock) -> None:
    upstream = Upstream(rest=overloaded)
    app = gateway(upstream)
    for _ in range(300):
        assert (await request(app, "POST", PATH, ask())).status == 503
    assert 300 + 10 <= len(upstream.calls) <= 300 * 1.2 + 11, "a fifth more, and a reserve of ten"


async def test_a_resting_quota_is_left_alone_by_all_who_share_it(clock: Clock) -> None:
    """Both names are the same model in the same place: one bucket."""
    models = [{**TWO, "name": "m"}, {**TWO, "name": "n"}]
    upstream = Upstream(eu=quota("Quota exceeded for tokens per minute."), us=message_reply)
    app = gateway(upstream, vertex={"models": models})
    assert (await call(app)).headers["x-modelmux-attempts"] == "2"
    again = await request(app, "POST", PATH, {**ask(), "model": "n"})
    assert (again.headers["x-modelmux-attempts"], again.headers["x-modelmux-deployment"]) == ("1", "n@us")


async def test_a_quota_of_zero_is_answered_with_the_remedy_and_not_waited_for(clock: Clock) -> None:
    upstream = Upstream(rest=quota("Quota exceeded for aiplatform.googleapis.com/online_prediction_requests, limit: 0"))
    app = gateway(upstream)
    responses = [await request(app, "POST", PATH, ask()) for _ in range(10)]
    error = responses[-1].json()["error"]
    assert (responses[-1].status, error["code"]) == (429, "insufficient_quota")
    assert "Model Garden" in error["message"]
    assert responses[-1].headers["x-should-retry"] == "false"
    assert len(upstream.calls) <= 4, "once it is known, requests neither wait nor call Google"

    clock.now += 61
    upstream.answers["rest"] = message_reply
    assert (await request(app, "POST", PATH, ask())).status == 200, "granted in the meantime"
    assert (await request(app, "POST", PATH, ask())).status == 200


BUSY = (
    "Quota exceeded for aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model with base "
    "model: anthropic-claude-sonnet-4-6. Please submit a quota increase request."
)


@pytest.mark.parametrize("path", [PATH, "/v1/messages", "/v1/responses"])
async def test_a_busy_minute_after_a_start_is_not_a_quota_of_zero(clock: Clock, path: str) -> None:
    upstream = Upstream(rest=quota(BUSY))
    app = gateway(upstream)
    body = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    if path == "/v1/responses":
        body = {"model": "claude-sonnet-4-6", "input": "hi"}
    began = clock.now
    while clock.now < began + 100:
        calls = len(upstream.calls)
        busy = await request(app, "POST", path, body)
        assert len(upstream.calls) > calls, "no request is rejected without being sent"
        assert (busy.status, "x-should-retry" in busy.headers) == (429, False)
        assert int(busy.headers["retry-after"]) >= 1
        assert BUSY.encode() in busy.body
        assert b"insufficient_quota" not in busy.body
        clock.now += 1
    upstream.answers["rest"] = message_reply
    assert (await request(app, "POST", path, body)).status == 200


async def test_minutes_without_any_success_are_told_as_a_quota_of_zero_but_asked_again(clock: Clock) -> None:
    upstream = Upstream(rest=quota(BUSY))
    app = gateway(upstream)
    for _ in range(5):
        busy = await request(app, "POST", PATH, ask())
        clock.now += 45
    assert (busy.json()["error"]["code"], busy.headers["x-should-retry"]) == ("insufficient_quota", "false")
    upstream.answers["rest"] = message_reply
    assert (await request(app, "POST", PATH, ask())).status == 200


async def test_the_state_of_a_deployment_survives_a_reload(clock: Clock) -> None:
    upstream = Upstream(eu=overloaded, us=message_reply)
    app = gateway(upstream, vertex={"models": [TWO]})
    for _ in range(5):
        await call(app)
    before = app._current.config
    await app.reload(before)
    assert (await call(app)).headers["x-modelmux-attempts"] == "1"
    del before.vertex.models[0].locations[1:]
    await app.reload(before)
    upstream.answers["eu"] = message_reply
    assert (await call(app)).status == 200


async def test_a_conversation_is_routed_to_its_prompt_cache(clock: Clock) -> None:
    deployments = [{"location": "eu"}, {"location": "us"}]
    app = gateway(
        Upstream(eu=message_reply, us=message_reply),
        vertex={"models": [{"name": "m", "model": "claude-sonnet-4-6", "deployments": deployments}]},
    )
    went: dict[str, set[str]] = {}
    for number in range(40):
        for turn in range(3):
            first = {"role": "user", "content": f"Question {number}"}
            more = [{"role": "assistant", "content": "A"}, {"role": "user", "content": "B"}] * turn
            response = await call(app, messages=[first, *more])
            went.setdefault(str(number), set()).add(response.headers["x-modelmux-deployment"])
    assert all(len(used) == 1 for used in went.values())
    assert {deployment for used in went.values() for deployment in used} == {"m@eu", "m@us"}

    named = {(await call(app, f"Any {n}", prompt_cache_key="run-1")).headers["x-modelmux-deployment"] for n in range(9)}
    assert len(named) == 1
