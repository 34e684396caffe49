"""Every path of the registry is authenticated or listed as open, limited, measured, and fails in its own dialect.

A new surface gets these tests by being listed.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.app import Gateway
from modelmux.dialects.base import Dialect, ListingDialect
from modelmux.dialects.registry import OPENAI_CHAT, OPENAI_RESPONSES, SURFACES, Surface, api_paths
from modelmux.dialects.stored_responses import StoredResponse
from modelmux.errors import EndpointNotFound, GatewayError, InvalidRequest, MethodNotAllowed, Unauthorized
from modelmux.telemetry.observers import ExchangeObserver
from modelmux.wire.http import HttpCall
from support.asgi import Response, request
from support.clock import VirtualTimeLoop, use_runtime
from support.exchange_world import RecordingObserver
from support.fakes import FakeReply, FakeUpstream, message_reply
from support.gateway import MODEL, gateway

KEY = {"authorization": "Bearer sk-modelmux-first"}
HEADERS = [(name.encode(), value.encode()) for name, value in KEY.items()]
KEYS = {"server": {"api_keys": ["sk-modelmux-first"]}}
#: Headers of clients that speak Anthropic's API, in addition to a key.
ANTHROPIC = {"anthropic-version": "2023-06-01"}
#: Paths that need no key. They say that the process lives, and nothing else.
OPEN = {
    "/", "/api/hello", "/health", "/livez", "/healthz", "/health/liveliness", "/health/liveness", "/readyz",
    "/health/readiness",
}  # fmt: skip
#: A request that each generating dialect answers, and one that it does not.
REQUESTS: dict[str, Any] = {
    "openai_chat": {"model": MODEL, "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]},
    "anthropic_messages": {"model": MODEL, "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses": {"model": MODEL, "max_output_tokens": 10, "input": "Hi"},
    "vertex_raw": {
        "anthropic_version": "vertex-2023-10-16", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}],
    },
}  # fmt: skip
#: What stands for the parameters of a path, but for those that name a model.
PARAMETERS = {"project": "a-project", "location": "us-east5", "prefix": "vertex_ai/v1", "id": "resp_1"}
#: The statuses of valid requests that are refused.
STATUSES = {"websocket": 426, "cancel_response": 400, "read_key": 404, "read_key_usage": 404}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"]
CALLING = [surface for surface in SURFACES if surface.operation in ("generate", "count_tokens")]
GENERATING = [surface for surface in CALLING if surface.operation == "generate"]
READING = [surface for surface in SURFACES if surface.method == "GET"]


def path_of(surface: Surface, name: str = MODEL) -> str:
    return re.sub(r"\{(\w+)(:path)?\}", lambda match: PARAMETERS.get(match[1], name), surface.path)


def name_of(surface: Surface) -> str:
    return f"{surface.method} {surface.path}"


def by_surface(surfaces: list[Surface] | tuple[Surface, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("surface", surfaces, ids=name_of)


async def call(surface: Surface, app: Any = None, headers: dict[str, str] | None = None, **changes: Any) -> Response:
    """A valid request for a surface, with a key."""
    app = gateway(FakeUpstream([reply_of(surface)]), **KEYS) if app is None else app
    stored = StoredResponse("resp_1", 1, None, (), (), b'{"id":"resp_1"}')
    await app.responses.store.put(app._current.application._keys.authenticate(HEADERS).owner, stored)
    body = REQUESTS.get(surface.dialect.name, b"") if surface.method == "POST" else b""
    if surface.operation == "count_tokens":  # there the model is in the body, on all paths
        body |= {"model": changes.get("model", MODEL)}
    method, path = changes.get("method", surface.method), changes.get("path", path_of(surface))
    return await request(app, method, path, changes.get("body", body), KEY if headers is None else headers)


def reply_of(surface: Surface) -> FakeReply:
    """What the upstream answers."""
    return message_reply(**{"input_tokens": 7} if surface.operation == "count_tokens" else {})


def dialect_of(surface: Surface, headers: dict[str, str]) -> ListingDialect:
    anthropic = surface.anthropic_dialect is not None and "anthropic-version" in headers
    return surface.anthropic_dialect or surface.dialect if anthropic else surface.dialect


def check_shape(response: Response, dialect: ListingDialect, error: GatewayError) -> None:
    """The response has the shape of an error in a dialect, and the status of this one."""
    expected = dialect.error(error, "req_1")
    assert response.status == expected.status
    assert shape(response.json()) == shape(json.loads(expected.body))
    assert {name.decode() for name, _ in expected.headers} <= set(response.headers)


def shape(value: Any) -> Any:
    """The keys at every depth."""
    return {key: shape(item) for key, item in value.items()} if isinstance(value, dict) else None


def test_no_path_is_served_twice_and_dialects_have_names_of_their_own() -> None:
    served = [(surface.method, surface.path) for surface in SURFACES]
    assert len(set(served)) == len(served)
    dialects = [d for s in SURFACES for d in (s.dialect, s.anthropic_dialect) if d is not None]
    names = {type(dialect): dialect.name for dialect in dialects}
    assert len(set(names.values())) == len(names)
    assert {surface.dialect.name for surface in CALLING} == set(REQUESTS)


@by_surface(SURFACES)
async def test_it_is_served(surface: Surface) -> None:
    response = await call(surface)
    assert response.status == STATUSES.get(surface.operation, 200)
    assert response.headers["x-request-id"]


# Authenticated, or listed as open


def test_only_the_listed_paths_are_open() -> None:
    assert {surface.path for surface in SURFACES if not surface.authenticated} == OPEN


@by_surface(SURFACES)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x-api-key": "wrong"}, ANTHROPIC])
async def test_it_needs_a_key_unless_it_is_open(surface: Surface, headers: dict[str, str]) -> None:
    upstream = FakeUpstream([message_reply()])
    response = await call(surface, gateway(upstream, **KEYS), headers)
    if surface.path in OPEN:
        assert response.status == 200
        return
    expected = ANTHROPIC if "x-api-key" in headers else headers
    check_shape(response, dialect_of(surface, expected), Unauthorized("no"))
    assert upstream.calls == []


# Limited


@by_surface(GENERATING)
async def test_a_request_for_a_reply_passes_the_gates(surface: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    use_runtime(monkeypatch, jitter=float)
    release = asyncio.Event()

    class Waiting(FakeUpstream):
        async def send(self, call: HttpCall) -> FakeReply:
            await release.wait()
            return await super().send(call)

    upstream = Waiting([message_reply()])
    app = gateway(upstream, limits={"max_concurrent_requests": 1, "max_queued_requests": 0}, **KEYS)
    first = asyncio.create_task(call(surface, app))
    await asyncio.sleep(0.01)
    second = await call(surface, app)
    assert (second.status, second.headers["retry-after"]) == (503, "2")
    release.set()
    assert (await first).status == 200
    assert len(upstream.calls) == 1


@by_surface([surface for surface in CALLING if surface not in GENERATING])
async def test_a_count_has_a_limit_of_its_own(surface: Surface) -> None:
    upstream = FakeUpstream([reply_of(surface)])
    app = gateway(upstream, limits={"max_concurrent_requests": 1, "max_queued_requests": 0}, **KEYS)
    await app._limiter.acquire()
    assert (await call(surface, app)).json()["input_tokens"] == 7
    assert len(upstream.calls) == 1


@by_surface([surface for surface in SURFACES if surface not in CALLING])
async def test_nothing_else_calls_an_upstream_or_waits_for_a_gate(surface: Surface) -> None:
    upstream = FakeUpstream([])
    app = gateway(upstream, limits={"max_concurrent_requests": 1, "max_queued_requests": 0}, **KEYS)
    await app._limiter.acquire()
    assert (await call(surface, app)).status == STATUSES.get(surface.operation, 200)
    assert upstream.calls == []


# Measured


@by_surface(CALLING)
@pytest.mark.parametrize("body", [None, b"{"])
async def test_it_is_measured_in_its_dialect(
    surface: Surface, body: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = RecordingObserver()
    recording: ExchangeObserver = observer
    monkeypatch.setattr(observer, "attempted", lambda *_: None)  # it expects another request id
    monkeypatch.setattr("modelmux.app.LogObserver", lambda *_: recording)
    app = gateway(FakeUpstream([reply_of(surface)]), **KEYS)
    await call(surface, app, **({} if body is None else {"body": body}))
    (record,) = observer.records
    assert (record.dialect, record.operation) == (surface.dialect.name, surface.operation)
    assert record.outcome == ("ok" if body is None else "client_error")
    assert app.metrics.total == 1


@by_surface(SURFACES)
async def test_its_errors_are_counted(surface: Surface) -> None:
    app = gateway(FakeUpstream([]), **KEYS)
    response = await call(surface, app, method="BREW")
    metric = f'modelmux_error_responses_total{{code="method_not_allowed",status="{response.status}"}} 1.0'
    assert metric in app.metrics.expose().decode()


# Fails in its own dialect


@by_surface(CALLING)
async def test_a_bad_request_fails_in_its_dialect(surface: Surface) -> None:
    response = await call(surface, body=b"{")
    check_shape(response, surface.dialect, InvalidRequest("no"))
    assert isinstance(surface.dialect, Dialect)


@by_surface([surface for surface in SURFACES if "{" in surface.path])
@pytest.mark.parametrize("client", [{}, ANTHROPIC], ids=["openai", "anthropic"])
async def test_an_unknown_name_fails_in_the_clients_dialect(surface: Surface, client: dict[str, str]) -> None:
    app = gateway(FakeUpstream([]), vertex={"models": [{"name": "only", "model": MODEL}]}, **KEYS)
    path = path_of(surface, "unknown").replace("resp_1", "resp_2")
    response = await call(surface, app, KEY | client, path=path, model="unknown")
    check_shape(response, dialect_of(surface, client), EndpointNotFound("no"))
    of_openai = surface.dialect in (OPENAI_CHAT, OPENAI_RESPONSES)
    speaks_openai = of_openai and not (client and surface.anthropic_dialect)
    assert ("type" in response.json()) is not speaks_openai


# HTTP


@by_surface(READING)
async def test_head_is_answered_like_get(surface: Surface) -> None:
    app = gateway(FakeUpstream([]), **KEYS)
    for headers in ({}, KEY, KEY | ANTHROPIC):
        get, head = await call(surface, app, headers), await call(surface, app, headers, method="HEAD")
        assert head.status == get.status
        ids = {"x-request-id", "request-id"}
        ignored = ids | {"content-length"} if surface.path == "/metrics" else ids
        assert without(head.headers, ignored) == without(get.headers, ignored)


def without(headers: dict[str, str], names: set[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


@given(st.sampled_from(SURFACES), st.one_of(st.sampled_from(METHODS), st.from_regex(r"[A-Z]{1,20}", fullmatch=True)))
def test_any_other_method_is_refused_with_those_that_are_allowed(surface: Surface, method: str) -> None:
    path = path_of(surface)
    served = {s.method: s for s in SURFACES if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", s.path), path) or s == surface}
    served[surface.method] = surface
    if "GET" in served:
        served["HEAD"] = served["GET"]

    async def run(app: Gateway) -> Response:
        return await call(served.get(method, surface), app, method=method, path=path)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        response = runner.run(run(gateway(FakeUpstream([message_reply()]), **KEYS)))
    if method in served:
        other = served[method]  # where the path is also that of a response: none has the id "compact"
        assert response.status == (STATUSES.get(other.operation, 200) if other.path in (path, surface.path) else 404)
        return
    check_shape(response, surface.dialect, MethodNotAllowed("no", allow=""))
    assert response.headers["allow"] == ", ".join(sorted(served))


def test_the_apis_are_named_by_their_main_paths() -> None:
    assert api_paths() == {
        "openai_chat": "/v1/chat/completions",
        "openai_responses": "/v1/responses",
        "anthropic_messages": "/v1/messages",
    }
