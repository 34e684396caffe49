"""Risk: a count is wrong, 0, sent where it may not go, or costs the upstream a storm of calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.gateway.count_state import MAX_IN_FLIGHT
from modelmux.wire.http import HttpCall
from support.asgi import Response, request
from support.fakes import JSON_HEADERS, FakeReply, FakeUpstream, error_reply
from support.gateway import MODEL, gateway

pytestmark = pytest.mark.virtual_time
COUNT = "/v1/messages/count_tokens"
VERTEX = "/v1/projects/-/locations/us-east5/publishers/anthropic/models/count-tokens:rawPredict"
EXTRA = "context_management: Extra inputs are not permitted"

Answer = Callable[[HttpCall], FakeReply]


def counted(number: Any = 42, **fields: Any) -> FakeReply:
    body = json.dumps({"input_tokens": number, **fields}).encode()
    return FakeReply(200, [*JSON_HEADERS, (b"request-id", b"req_vrtx_1")], [body])


def refused(status: int, type: str, message: str = "no") -> FakeReply:
    return error_reply(status, {"type": "error", "error": {"type": type, "message": message}})


def ask(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


async def count(app: Gateway, body: Any = None, path: str = COUNT, **headers: str) -> Response:
    return await request(app, "POST", path, ask() if body is None else body, headers)


def estimated(response: Response) -> bool:
    assert response.status == 200
    assert response.json()["input_tokens"] > 0
    return response.headers.get("x-modelmux-estimate") == "true"


def locations(upstream: FakeUpstream) -> list[str]:
    return [call.target.split("/")[5] for call in upstream.calls]


class SlowUpstream(FakeUpstream):
    """Answers every call after some time, and knows how many were in flight at once."""

    def __init__(self, seconds: float) -> None:
        super().__init__([])
        self._seconds = seconds
        self.in_flight = self.most = self.cancelled = 0

    async def send(self, call: HttpCall) -> FakeReply:
        self.calls.append(call)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        return counted(len(call.body))


@pytest.mark.parametrize("path", [COUNT, "/messages/count_tokens", VERTEX, VERTEX[3:], "/vertex_ai" + VERTEX])
async def test_the_upstreams_answer_passes_as_it_came(path: str) -> None:
    upstream = FakeUpstream([counted(42, new={"a": 1.50})])
    response = await count(gateway(upstream), ask(max_tokens=5, stream=True), path, **{"anthropic-beta": "x-1"})
    assert response.status == 200
    assert response.body == b'{"input_tokens": 42, "new": {"a": 1.5}}'
    assert response.headers["request-id"] == "req_vrtx_1"
    assert response.headers["x-modelmux-deployment"] == f"{MODEL}@global"
    assert response.headers["x-modelmux-notices"] == "ignored=max_tokens, ignored=stream"
    assert not estimated(response)
    (call,) = upstream.calls
    assert call.target.endswith("/locations/global/publishers/anthropic/models/count-tokens:rawPredict")
    assert b"anthropic-beta" not in dict(call.headers)
    assert upstream.body()["model"] == MODEL


@pytest.mark.parametrize(
    ("status", "type"),
    [(404, "not_found_error"), (429, "rate_limit_error"), (500, "api_error"), (529, "overloaded_error"), (504, "x")],
)
async def test_a_failure_becomes_a_marked_estimate(status: int, type: str) -> None:
    upstream = FakeUpstream([refused(status, type)] * 2)
    response = await count(gateway(upstream), ask("a" * 3300))
    assert estimated(response)
    assert response.json()["input_tokens"] > 1000
    assert len(upstream.calls) == (2 if status == 404 else 1)


@pytest.mark.parametrize("number", [0, None, "7", -3])
async def test_e93_a_reply_without_a_number_becomes_an_estimate_too(number: Any) -> None:
    assert estimated(await count(gateway(FakeUpstream([counted(number)]))))


async def test_a_model_that_is_not_listed_is_estimated() -> None:
    message = f"{MODEL} is not supported for token counting"
    upstream = FakeUpstream([refused(400, "invalid_request_error", message)] * 2)
    assert estimated(await count(gateway(upstream)))


async def test_a_model_that_the_catalog_lists_as_not_counted_costs_no_call() -> None:
    upstream = FakeUpstream([])
    assert estimated(await count(gateway(upstream), ask() | {"model": "claude-opus-4-1"}))
    assert upstream.calls == []


async def test_a_slow_upstream_is_not_waited_for() -> None:
    upstream = SlowUpstream(3600)
    assert estimated(await count(gateway(upstream)))
    assert (len(upstream.calls), upstream.cancelled) == (1, 1)


async def test_without_estimates_the_client_estimates_itself() -> None:
    upstream = FakeUpstream([refused(429, "rate_limit_error")])
    app = gateway(upstream, messages={"count_tokens_estimates": False})
    response = await count(app)
    assert response.status == 501
    assert response.headers["x-should-retry"] == "false"
    assert response.json()["type"] == "error"


@pytest.mark.parametrize("status", [404, 408, 429, 500, 501, 502, 503, 504, 529])
@pytest.mark.parametrize(
    ("path", "body"), [(COUNT, ask()), (VERTEX, ask()), ("/v1/responses/input_tokens", {"model": MODEL, "input": "Hi"})]
)
async def test_without_estimates_it_is_a_501_whatever_the_upstream_said(path: str, body: Any, status: int) -> None:
    """What docs/compatibility.md promises, in every dialect."""
    failed = error_reply(status, {"error": {"code": status, "message": "no", "status": "SOMETHING"}})
    app = gateway(FakeUpstream([failed, failed]), messages={"count_tokens_estimates": False})
    response = await count(app, body, path)
    assert (response.status, response.headers["x-should-retry"]) == (501, "false")
    assert "count_tokens_estimates" in response.json()["error"]["message"]


async def test_errors_of_the_request_are_the_clients() -> None:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "messages: Field required"}}
    response = await count(gateway(FakeUpstream([error_reply(400, body)])))
    assert (response.status, response.json()) == (400, body)
    assert "x-modelmux-estimate" not in response.headers
    unknown = await count(gateway(FakeUpstream([])), ask() | {"model": "nope"})
    assert unknown.status == 404
    broken = await count(gateway(FakeUpstream([])), b"{")
    assert broken.status == 400


async def test_refused_credentials_are_the_operators() -> None:
    upstream = FakeUpstream([refused(401, "authentication_error"), counted()])
    assert not estimated(await count(gateway(upstream)))
    assert [dict(call.headers)[b"authorization"] for call in upstream.calls] == [b"Bearer token-1", b"Bearer token-2"]
    upstream = FakeUpstream([refused(401, "authentication_error")] * 2)
    assert (await count(gateway(upstream))).status == 502
    assert len(upstream.calls) == 2
    assert (await count(gateway(FakeUpstream([refused(403, "permission_error")])))).status == 502


async def test_e60_only_one_other_location_is_asked_and_none_outside_the_geography() -> None:
    vertex = {"location": "europe-west1", "geography": "eu", "model": "claude-haiku-4-5"}
    upstream = FakeUpstream([refused(404, "not_found_error")] * 2)
    response = await count(gateway(upstream, vertex=vertex), ask() | {"model": "claude-haiku-4-5"})
    assert estimated(response)
    assert locations(upstream) == ["europe-west1", "eu"]
    assert {call.origin.host for call in upstream.calls} == {
        "europe-west1-aiplatform.googleapis.com",
        "aiplatform.eu.rep.googleapis.com",
    }
    upstream = FakeUpstream([refused(404, "not_found_error"), counted()])
    response = await count(gateway(upstream, vertex=vertex), ask() | {"model": "claude-haiku-4-5"})
    assert not estimated(response)
    assert response.headers["x-modelmux-deployment"] == "claude-haiku-4-5@eu"
    assert response.headers["x-modelmux-attempts"] == "2"
    assert upstream.body(0)["model"] == "claude-haiku-4-5"


async def test_a_field_that_is_refused_is_left_out_once_and_remembered_for_an_hour() -> None:
    upstream = FakeUpstream([refused(400, "invalid_request_error", EXTRA), counted(), counted(), counted()])
    app = gateway(upstream)
    body = ask(context_management={"edits": []})
    response = await count(app, body)
    assert not estimated(response)
    assert response.headers["x-modelmux-notices"] == "dropped=context_management"
    assert (await count(app, body | ask("2"))).headers["x-modelmux-notices"] == "dropped=context_management"
    await asyncio.sleep(3600.001)  # timers of the event loop may be early by a rounding error
    assert "x-modelmux-notices" not in (await count(app, body)).headers
    assert ["context_management" in upstream.body(index) for index in range(4)] == [True, False, False, True]


async def test_a_field_that_stays_refused_ends_the_count() -> None:
    extra = refused(400, "invalid_request_error", EXTRA)
    upstream = FakeUpstream([extra, refused(400, "invalid_request_error", EXTRA)])
    response = await count(gateway(upstream), ask(context_management={}))
    assert (response.status, response.json()["error"]["message"]) == (400, EXTRA)
    assert len(upstream.calls) == 2


async def test_several_refused_fields_cost_a_call_each() -> None:
    fields = ("context_management", "cache_control", "thinking.block_binding")
    refusals = [
        refused(400, "invalid_request_error", f"{field}: Extra inputs are not permitted")
        for field in (*fields, "output_config")
    ]
    body = ask(context_management={}, cache_control={}, thinking={"block_binding": 1}, output_config={})
    upstream = FakeUpstream([*refusals[:3], counted()])
    assert not estimated(await count(gateway(upstream), body))
    upstream = FakeUpstream(refusals)
    assert (await count(gateway(upstream), body)).status == 400


async def test_27_counts_at_once_are_all_answered_by_few_calls_at_a_time() -> None:
    upstream = SlowUpstream(1)
    app = gateway(upstream)
    responses = await asyncio.gather(*(count(app, ask(str(number) * 10)) for number in range(27)))
    assert not any(map(estimated, responses))
    assert len(upstream.calls) == 27
    assert upstream.most == MAX_IN_FLIGHT == 8


async def test_counts_that_wait_too_long_are_estimated() -> None:
    upstream = SlowUpstream(9)
    app = gateway(upstream)
    began = asyncio.get_running_loop().time()
    responses = await asyncio.gather(*(count(app, ask(str(number))) for number in range(27)))
    assert sum(map(estimated, responses)) == 27 - MAX_IN_FLIGHT
    assert asyncio.get_running_loop().time() - began <= 10.0 + 1e-6, "their wait included"


async def test_identical_counts_share_one_call_for_a_minute() -> None:
    upstream = SlowUpstream(1)
    app = gateway(upstream)
    responses = await asyncio.gather(*(count(app) for _ in range(27)))
    assert len({response.body for response in responses}) == 1
    assert (await count(app)).headers["x-modelmux-attempts"] == "0"
    assert len(upstream.calls) == 1
    await asyncio.sleep(60.001)
    await count(app)
    assert len(upstream.calls) == 2


async def test_counts_are_not_shared_between_callers() -> None:
    upstream = SlowUpstream(1)
    app = gateway(upstream, server={"api_keys": ["key-one", "key-two"]})
    await asyncio.gather(*(count(app, **{"x-api-key": key}) for key in ("key-one", "key-two", "key-one")))
    assert len(upstream.calls) == 2


async def test_a_client_that_leaves_ends_the_call_and_not_that_of_others() -> None:
    upstream, gone = SlowUpstream(5), asyncio.Event()
    app = gateway(upstream)
    leaving = [asyncio.create_task(request(app, "POST", COUNT, ask(text), disconnect=gone)) for text in ("a", "b")]
    staying = asyncio.create_task(count(app, ask("b")))
    await asyncio.sleep(1)
    assert upstream.in_flight == 2
    gone.set()
    await asyncio.gather(*leaving)
    assert (upstream.in_flight, upstream.cancelled) == (1, 1)
    assert not estimated(await staying)


async def test_strict_mode_rejects_what_would_be_left_out() -> None:
    upstream = FakeUpstream([refused(400, "invalid_request_error", EXTRA), counted()])
    app = gateway(upstream)
    assert (await count(app, ask(max_tokens=1), **{"x-modelmux-strict": "1"})).status == 400
    assert upstream.calls == []
    assert (await count(app, ask(context_management={}), **{"x-modelmux-strict": "1"})).status == 400


async def test_the_location_in_the_clients_url_is_not_used() -> None:
    upstream = FakeUpstream([counted()])
    vertex = {"location": "eu", "geography": "eu"}
    response = await count(gateway(upstream, vertex=vertex), path=VERTEX)
    assert response.headers["x-modelmux-notices"] == "ignored=location"
    assert locations(upstream) == ["eu"]
    app = gateway(FakeUpstream([]), vertex=vertex | {"strict_location": True})
    assert (await count(app, path=VERTEX)).status == 400


async def test_counts_pass_the_limit_of_requests_and_are_measured_once() -> None:
    upstream = SlowUpstream(1)
    app = gateway(upstream, limits={"max_concurrent_requests": 1, "max_queued_requests": 0})
    responses = await asyncio.gather(*(count(app, ask(text)) for text in "abc"))
    assert not any(map(estimated, responses))
    assert app.metrics.counts()["total"] == app.metrics.counts()["succeeded"] == 3
    assert app.metrics.in_flight == 0
    assert b"modelmux_tokens_total{" not in app.metrics.expose()
