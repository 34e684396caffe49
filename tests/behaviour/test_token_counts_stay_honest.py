"""Risk: token counting works with scripted upstreams only: the emulator refuses what the gateway sends, or a failure of
the real path ends in an error or in a 0."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.emulator import EmulatorSettings, RunningEmulator
from modelmux.emulator.faults.rules import FaultSpec, Match, Rule, Scenario
from support.asgi import Response, request
from support.emulator_server import AT_ONCE, running, until
from support.recordings import messages_requests

COUNT = "/v1/messages/count_tokens"
MODEL = "claude-opus-5-5"
MARKER = {"type": "ephemeral"}


@contextlib.asynccontextmanager
async def counting(
    settings: EmulatorSettings = AT_ONCE, *, catalog: Any = (), location: str = "global", **vertex: Any
) -> AsyncIterator[tuple[Gateway, RunningEmulator]]:
    """A gateway in front of an emulator, over real sockets."""
    async with running(settings) as emulator:
        table = {"project": "project-42", "location": location, "base_url": emulator.base_url, **vertex}
        app = Gateway(Config.from_dict({"vertex": table, "auth": {"access_token": "token"}, "catalog": list(catalog)}))
        try:
            yield app, emulator
        finally:
            await app.aclose()


def ask(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


def failing(**fault: Any) -> EmulatorSettings:
    """Every count has a fault."""
    rule = Rule(fault=FaultSpec(**fault), match=Match(endpoint="count_tokens"))
    return EmulatorSettings(tokens_per_second=0, scenario=Scenario(rule=(rule,)))


async def count(app: Gateway, body: Any, **headers: str) -> Response:
    return await request(app, "POST", COUNT, body, headers)


def is_estimate(response: Response) -> bool:
    assert response.status == 200, response.body
    assert response.json()["input_tokens"] > 0
    return "x-modelmux-estimate" in response.headers


def paths(emulator: RunningEmulator) -> list[str]:
    return [entry["path"] for entry in emulator.app.requests()]


async def test_what_claude_code_sends_is_counted() -> None:
    body = ask(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "scope": "global"}}],
        tools=[{"name": "f", "input_schema": {"type": "object"}, "defer_loading": False}],
        thinking={"type": "adaptive"}, max_tokens=32_000, stream=True, metadata={"user_id": "u"},
    )  # fmt: skip
    betas = "claude-code-20250219,interleaved-thinking-2025-05-14,token-counting-2024-11-01"
    async with counting() as (app, emulator):
        response = await count(app, body, **{"anthropic-beta": betas})
        assert not is_estimate(response)
        (path,) = paths(emulator)
    assert path.endswith("/locations/global/publishers/anthropic/models/count-tokens:rawPredict")


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-haiku-4-5@20251001"])
async def test_a_dated_model_is_counted(model: str) -> None:
    async with counting() as (app, _):
        assert not is_estimate(await count(app, ask() | {"model": model}))


async def test_cache_markers_are_left_out_where_they_are_refused() -> None:
    settings = EmulatorSettings(tokens_per_second=0, count_cache_control=False)
    async with counting(settings) as (app, emulator):
        system = [{"type": "text", "text": "a", "cache_control": MARKER}]
        for text in "ab":
            response = await count(app, ask(text, cache_control=MARKER, system=system))
            assert not is_estimate(response)
            assert response.headers["x-modelmux-notices"] == "dropped=cache_control"
        assert len(paths(emulator)) == 3


async def test_a_region_that_does_not_count_is_replaced_inside_its_geography() -> None:
    models = [{"name": "fast", "model": "claude-haiku-4-5", "location": "europe-west4"}]
    cards = [{"id": "claude-haiku-4-5@20251001", "regions": ["europe-west4"]}]
    async with counting(catalog=cards, location="eu", models=models, geography="eu") as (app, emulator):
        assert not is_estimate(await count(app, ask() | {"model": "fast"}))
        locations = [re.search(r"/locations/([^/]+)/", path) for path in paths(emulator)]
        assert [match and match[1] for match in locations] == ["europe-west4", "eu"]


async def test_a_quota_that_is_used_up_gives_a_marked_estimate() -> None:
    async with counting(EmulatorSettings(tokens_per_second=0, requests_per_minute=1)) as (app, _):
        exact, estimate = [await count(app, ask(text * 1000)) for text in ("a b ", "c d ")]
        assert [is_estimate(response) for response in (exact, estimate)] == [False, True]
        assert estimate.json()["input_tokens"] >= exact.json()["input_tokens"] * 0.9


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 404}, {"status": 404, "shape": "html"}, {"status": 429, "shape": "google"}, {"status": 500},
        {"status": 502, "shape": "html"}, {"status": 529}, {"status": 503, "shape": "empty"}, {"reset": True},
        {"close": True},
    ],
)  # fmt: skip
async def test_every_failure_of_the_upstream_gives_a_marked_estimate(fault: dict[str, Any]) -> None:
    async with counting(failing(**fault)) as (app, emulator):
        assert is_estimate(await count(app, ask()))
        assert len(paths(emulator)) <= 2


async def test_a_field_that_is_refused_costs_one_call_more_once() -> None:
    async with counting(failing(refused_fields="context_management")) as (app, emulator):
        for text in "ab":
            response = await count(app, ask(text, context_management={"edits": [{"type": "clear_thinking_20251015"}]}))
            assert not is_estimate(response)
            assert response.headers["x-modelmux-notices"] == "dropped=context_management"
        assert len(paths(emulator)) == 3


async def test_a_client_that_leaves_ends_the_call() -> None:
    async with counting(failing(delay=600.0)) as (app, _):
        gone = asyncio.Event()
        leaving = asyncio.create_task(request(app, "POST", COUNT, ask(), disconnect=gone))
        await until(lambda: app.metrics.in_flight == 1)
        gone.set()
        await leaving
        assert app.metrics.in_flight == 0


@pytest.mark.parametrize("recording", messages_requests("count_tokens", "vertex_count_tokens"))
async def test_recorded_counts_are_counted(recording: dict[str, Any]) -> None:
    parts = urlsplit("//" + str(recording["endpoint"]).removeprefix("/"))
    path = COUNT if recording["surface"] == "count_tokens" else "/" + parts.netloc + parts.path
    body = recording["request"]
    if "error" in recording["id"]:  # a request with an unknown model
        body = body | {"model": MODEL}
    names = ("anthropic-version", "anthropic-beta")
    headers = {name: value for name, value in recording["request_headers"].items() if name in names}
    async with counting() as (app, _):
        response = await request(app, "POST", path, json.dumps(body).encode(), headers)
        assert not is_estimate(response)


@pytest.mark.parametrize("recording", messages_requests("messages"))
async def test_what_can_be_sent_can_be_counted(recording: dict[str, Any]) -> None:
    async with counting() as (app, _):
        response = await count(app, recording["request"] | {"model": MODEL})
        assert response.status in (200, 400)
        if response.status == 200:
            assert not is_estimate(response)
        else:
            assert response.json()["error"]["type"] == "invalid_request_error"
