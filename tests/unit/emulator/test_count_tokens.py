"""Token counting: what it accepts, where it exists, how it fails, and that its number is the one of the usage."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.emulator import Emulator, EmulatorSettings, create_emulator
from modelmux.emulator.faults.scenario import parse
from support.clock import Clock
from support.emulator_calls import (
    EmulatorReply,
    Json,
    ask,
    assistant,
    body_of,
    emulator,
    text,
    tool,
    tool_result,
    tool_use,
    user,
)

APP = emulator()
CACHED = {"cache_control": {"type": "ephemeral"}}


def count_body(**fields: Any) -> Json:
    return {"model": "claude-opus-5", "messages": [user("Hi")], **fields}


async def count(body: Json | None = None, app: Emulator = APP, **options: Any) -> EmulatorReply:
    return await ask(app, body or count_body(), model="count-tokens", verb="rawPredict", **options)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"system": "Be brief. " * 50},
        {"system": [text("Be brief."), text("x" * 9000, **CACHED)], "cache_control": {"type": "ephemeral"}},
        {"tools": [tool(), tool("b", defer_loading=True)]},
        {"tools": [tool(), tool("b", cache_control={"type": "ephemeral", "ttl": "1h"})]},
        {
            "tools": [tool()],
            "messages": [
                user("Hi"),
                assistant(text("one moment"), tool_use()),
                user(tool_result()),
            ],
        },
        {"messages": [user(text("中文" * 40), text("more")), user("again")], "thinking": {"type": "adaptive"}},
    ],
    ids=["plain", "system", "cached system", "deferred tools", "cached tools", "tool loop", "several turns"],
)
async def test_the_count_is_the_input_usage_of_a_call_with_the_same_prompt(fields: Json) -> None:
    app = emulator()
    counted = await count(count_body(**fields), app)
    assert list(counted.json) == ["input_tokens"]
    body = body_of(**{"messages": [user("Hi")], **fields})
    reply = await ask(app, body, model="claude-opus-5", betas="tool-search-tool-2025-10-19")
    usage = reply.json["usage"]
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert counted.json["input_tokens"] == sum(usage[name] for name in names)


@pytest.mark.parametrize("location", ["global", "us", "eu", "asia-southeast1", "us-east5", "europe-west1"])
async def test_it_exists_where_google_lists_it(location: str) -> None:
    assert (await count(location=location)).status == 200


@pytest.mark.parametrize("location", ["us-central1", "europe-west4", "asia-east1", "the-moon"])
async def test_elsewhere_it_is_googles_404(location: str) -> None:
    answer = await count(location=location)
    assert answer.status == 404
    name = f"projects/p/locations/{location}/publishers/anthropic/models/count-tokens"
    assert answer.message == f"Publisher Model `{name}` not found."


@pytest.mark.parametrize(
    "model",
    ["claude-opus-5@default", "claude-sonnet-4-5@20250929", "claude-opus-4-1", "claude-opus-4", "claude-sonnet-4"],
)
async def test_a_versioned_name_and_a_model_it_no_longer_knows_are_refused_by_name(model: str) -> None:
    answer = await count(count_body(model=model))
    assert (answer.status, answer.message) == (400, f"{model} is not supported for token counting")
    assert answer.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("model", ["nope", "claude-haiku-4-5-20251001", ""])
async def test_an_unknown_model_is_a_404(model: str) -> None:
    answer = await count(count_body(model=model))
    assert (answer.status, answer.message) == (404, f"model: {model}")


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-sonnet-4-6", "claude-fable-5-1", "claude-3-5-haiku"])
async def test_models_are_named_without_their_version(model: str) -> None:
    assert (await count(count_body(model=model))).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"anthropic_version": "vertex-2023-10-16"},
        {"anthropic_version": "2026-10-21"},
        {"tools": [tool()], "tool_choice": {"type": "auto"}},
        {"thinking": {"type": "adaptive"}, "output_config": {"task_budget": {"type": "tokens", "total": 9}}},
        {"tools": [tool(defer_loading=True)]},
        {"messages": [user(text("Hi", **CACHED))], **CACHED},
    ],
    ids=lambda fields: " ".join(fields),
)
async def test_documented_fields_are_accepted_without_their_betas(fields: Json) -> None:
    assert (await count(count_body(**fields))).status == 200


async def test_context_management_is_counted_before_it_applies() -> None:
    edits = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    answer = await count(count_body(context_management=edits))
    assert answer.json["context_management"] == {"original_input_tokens": answer.json["input_tokens"]}


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "stream", "metadata", "stop_sequences", "temperature", "speed", "anthropic_beta", "safeguards"],
)
async def test_any_other_field_is_an_extra_input(name: str) -> None:
    answer = await count(count_body(**{name: 1}))
    assert (answer.status, answer.message) == (400, f"{name}: Extra inputs are not permitted")


@pytest.mark.parametrize(
    "beta", ["token-counting-2024-11-01", "claude-code-20250219", "interleaved-thinking-2025-05-14"]
)
async def test_every_beta_is_refused(beta: str) -> None:
    answer = await count(betas=f"{beta}, web-search-2025-03-05")
    assert answer.status == 400
    assert answer.message.startswith(
        f"Unexpected value(s) `{beta}`, `web-search-2025-03-05` for the `anthropic-beta` header. Please consult our "
        "documentation at "
    )


async def test_a_setting_has_it_refuse_cache_control() -> None:
    app = emulator(count_cache_control=False)
    assert (await count(app=app)).status == 200
    messages = [user(text("Hi"), text("there", **CACHED))]
    on_block = await count(count_body(messages=messages), app)
    assert on_block.message == "messages.0.content.1.text.cache_control: Extra inputs are not permitted"
    assert (await count(count_body(**CACHED), app)).message == "cache_control: Extra inputs are not permitted"
    on_tool = await count(count_body(tools=[tool(**CACHED)]), app)
    assert on_tool.message == "tools.0.custom.cache_control: Extra inputs are not permitted"
    assert (await ask(app, body_of(**CACHED))).status == 200


async def test_it_can_be_made_to_fail_alone_and_in_one_location() -> None:
    fault = {"status": 429, "shape": "google", "times": 1}
    rule = {"match": {"endpoint": "count_tokens", "location": "eu"}, "fault": fault}
    app = create_emulator(EmulatorSettings(tokens_per_second=0, scenario=parse({"rule": [rule]})))
    assert (await count(app=app)).status == 200
    assert (await ask(app, body_of(), location="eu")).status == 200
    answer = await count(app=app, location="eu")
    assert (answer.status, answer.json["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert (await count(app=app, location="eu")).status == 200


async def test_a_directive_reaches_it_and_its_reply_can_be_broken() -> None:
    assert (await count(count_body(messages=[user("Hi [[emulator: status=500]]")]))).status == 500
    garbage = await count(count_body(messages=[user("Hi [[emulator: garbage]]")]))
    assert garbage.status == 200
    assert garbage.body.endswith(b"\x00}{")


async def test_its_quota_is_its_own() -> None:
    app = create_emulator(EmulatorSettings(tokens_per_second=0, requests_per_minute=1), clock=Clock(0.0))
    assert (await ask(app, body_of())).status == 200
    assert (await count(app=app)).status == 200
    answer = await count(count_body(model="claude-sonnet-4-6"), app)
    assert answer.status == 429
    assert "base model: anthropic-count-tokens" in answer.message
    assert (await count(app=app, location="us")).status == 200


async def test_calls_are_in_the_record() -> None:
    app = emulator()
    await count(app=app)
    await count(app=app, location="us-central1")
    assert [(r["path"].rsplit("/", 1)[-1], r["outcome"]) for r in app.requests()] == [
        ("count-tokens:rawPredict", "complete"),
        ("count-tokens:rawPredict", "refused"),
    ]
