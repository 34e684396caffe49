"""A model call before validation: the model, the project, quotas, headers, authentication."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.emulator import EmulatorSettings, create_emulator
from support.clock import Clock
from support.emulator_calls import MODEL, ask, body_of, emulator, send


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ({"model": "claude-opus-9"}, "projects/p/locations/global/publishers/anthropic/models/claude-opus-9"),
        ({"model": "claude-sonnet-4-5"}, "projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5"),
        (
            {"model": "claude-haiku-4-5-20251001"},
            "projects/p/locations/global/publishers/anthropic/models/claude-haiku-4-5-20251001",
        ),
        (
            {"model": "claude-opus-5-5", "location": "us-east5"},
            "projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-5-5",
        ),
        ({"location": "the-moon"}, f"projects/p/locations/the-moon/publishers/anthropic/models/{MODEL}"),
    ],
)
async def test_an_unknown_model_is_googles_404(where: dict[str, Any], name: str) -> None:
    answer = await ask(emulator(), body_of(), **where)
    assert answer.status == 404
    assert answer.json["error"] == {
        "code": 404,
        "message": f"Publisher Model `{name}` not found.",
        "status": "NOT_FOUND",
    }
    streaming = await ask(emulator(), body_of(stream=True), **where)
    assert isinstance(streaming.json, list)


@pytest.mark.parametrize("model", ["claude-opus-5-5@default", "claude-opus-5-5", "claude-haiku-4-5@20251001"])
async def test_an_exact_name_is_served(model: str) -> None:
    answer = await ask(emulator(), body_of(), model=model)
    assert answer.json["model"] == model.replace("@default", "").replace("@", "-")


async def test_another_project_is_rejected_in_googles_words() -> None:
    app = emulator(projects=("mine",))
    assert (await ask(app, body_of(), project="mine")).status == 200
    answer = await ask(app, body_of(), project="theirs")
    assert answer.status == 403
    assert answer.message == (
        "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/theirs/"
        f"locations/global/publishers/anthropic/models/{MODEL}' (or it may not exist)."
    )
    assert answer.json["error"]["details"][0]["reason"] == "IAM_PERMISSION_DENIED"


async def test_a_model_can_require_data_sharing() -> None:
    app = emulator(data_sharing=False)
    answer = await ask(app, body_of(), model="claude-fable-5")
    assert answer.status == 403
    assert "data sharing" in answer.message
    assert (await ask(app, body_of(), model="claude-opus-5")).status == 200


async def test_quotas_are_per_lineage_and_location() -> None:
    clock = Clock(0.0)
    app = create_emulator(EmulatorSettings(tokens_per_second=0, requests_per_minute=2), clock=clock)
    for model in ("claude-opus-5-5", "claude-opus-5"):
        assert (await ask(app, body_of(), model=model)).status == 200
    refused = await ask(app, body_of(stream=True), model="claude-opus-4-8")
    assert refused.status == 429
    assert refused.json[0]["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert "base model: anthropic-claude-opus" in refused.message
    for model, location in (("claude-sonnet-5-5", "global"), ("claude-opus-5", "eu"), ("claude-opus-4-6", "us-east5")):
        assert (await ask(app, body_of(), model=model, location=location)).status == 200
    clock.now += 61
    assert (await ask(app, body_of(), model="claude-opus-5")).status == 200


async def test_another_publisher_is_a_404() -> None:
    path = "/v1/projects/p/locations/global/publishers/google/models/gemini:rawPredict"
    answer = await send(emulator(), "POST", path, json.dumps(body_of()).encode(), {"authorization": "Bearer t"})
    assert answer.status == 404
    assert "publishers/google/models/gemini" in answer.message


async def test_headers_are_those_of_the_real_service() -> None:
    unary = await ask(emulator(), body_of())
    assert unary.headers["request-id"].startswith("req_vrtx_011C")
    assert unary.headers["internal-input-tokens"] == str(unary.json["usage"]["input_tokens"])
    assert unary.headers["x-vertex-ai-internal-prediction-backend"] == "harpoon"
    streaming = await ask(emulator(), body_of(stream=True))
    assert streaming.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert streaming.headers["cache-control"] == "no-cache"
    assert len(streaming.headers["x-vertex-ai-received-request-id"]) == 36


async def test_the_body_decides_whether_it_streams() -> None:
    """An assumption (docs/emulator.md): the verb and the body's ``stream`` may disagree."""
    unary = await ask(emulator(), body_of(), verb="streamRawPredict")
    assert unary.json["type"] == "message"
    streamed = await ask(emulator(), body_of(stream=True), verb="rawPredict")
    assert streamed.events[0][0] == "message_start"


async def test_a_repeated_request_is_answered_the_same_but_for_its_ids() -> None:
    app = emulator()
    for fields in ({}, {"stream": True}):
        body = body_of("say exactly: ünïcode", **fields)
        one, two = await ask(app, body), await ask(app, body)
        ids = [answer.headers["request-id"].removeprefix("req_vrtx_011C") for answer in (one, two)]
        assert ids[0] != ids[1]
        assert one.body.replace(ids[0].encode(), b"ID") == two.body.replace(ids[1].encode(), b"ID")


async def test_an_error_is_repeated_for_a_repeated_request() -> None:
    app = emulator()
    for _ in range(2):
        assert (await ask(app, body_of(n=1))).status == 400


async def test_a_repeated_request_is_authenticated_again() -> None:
    app = emulator()
    assert (await ask(app, body_of())).status == 200
    assert (await ask(app, body_of(), token=None)).status == 401
