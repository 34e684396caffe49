"""Risk: a parameter that a model does not accept fails the request, or is dropped silently."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import ModelCard, builtin
from support.asgi import request
from support.blocks import BARE, BUDGET, NEW, SONNET, WEATHER, Json, json_schema, reply_of, text, tool
from support.chat import chat
from support.fakes import FakeUpstream, message_reply, stream_reply, text_events
from support.gateway import MODEL, PATH, ask, gateway, named

pytestmark = pytest.mark.usefixtures("no_waiting")

SAMPLING_REFUSED = [
    "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-2", "claude-fable-5-1",
    "claude-fable-5", "claude-opus-5", "claude-sonnet-5", "claude-opus-4-8", "claude-opus-4-7",
]  # fmt: skip


@pytest.mark.parametrize("model", SAMPLING_REFUSED)
async def test_e29_sampling_is_dropped_with_a_notice_where_unsupported(model: str) -> None:
    """Models from 4.7 on reject sampling parameters: they are left out with a notice, or a 400 in strict mode."""
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 5}
    got = await chat(model=model, **sampling)
    assert not {"temperature", "top_p", "top_k"} & got.sent.keys()
    assert got.notices == ["dropped=temperature", "dropped=top_p", "dropped=top_k"]
    strict = await chat(model=model, headers={"x-modelmux-strict": "1"}, **sampling)
    assert (strict.status, strict.error["param"], strict.error["code"]) == (400, "temperature", "strict_mode")
    assert strict.upstream.calls == []


@pytest.mark.parametrize(("temperature", "sent"), [(1.7, 1.0), (2, 1.0), (1.0, 1.0), (0, 0.0), (0.3, 0.3)])
async def test_e30_temperature_is_clamped_to_claudes_range(temperature: float, sent: float) -> None:
    """OpenAI's temperature goes up to 2, Claude's to 1: clamped with a notice, neither rejected nor halved."""
    got = await chat(temperature=temperature)
    assert got.sent["temperature"] == sent
    assert got.notices == (["clamped=temperature"] if temperature > 1 else [])
    assert (await chat(temperature=2.1)).error["param"] == "temperature"


CAPS = {
    "claude-opus-5-5": 128_000,
    "claude-opus-4-6": 128_000,
    "claude-sonnet-5": 128_000,
    "claude-sonnet-4-5": 64_000,
    "claude-opus-4-1": 32_000,
    "claude-3-5-haiku": 8_192,
}


async def test_e56_missing_token_limit_is_the_models_own() -> None:
    """A client sends no limit, which Claude requires: every model gets its maximum, undated names too, and never 0."""
    sent = {}
    for card in builtin().cards:
        for name in {card.id, card.base}:
            sent[name] = (await chat(model=name, max_tokens=None, settings=named(name))).sent["max_tokens"]
    assert {name: sent[name] for name in CAPS} == CAPS
    assert min(sent.values()) == 8_192
    assert sent["claude-sonnet-4-5@20250929"] == sent["claude-sonnet-4-5"]


ADAPTIVE = {"type": "adaptive", "display": "summarized"}


HIDDEN = {"type": "adaptive", "display": "omitted"}


def by_budget(tokens: int) -> Json:
    return {"type": "enabled", "budget_tokens": tokens}


@pytest.mark.parametrize(
    ("model", "requested", "thinking", "effort", "notices"),
    [
        ("claude-opus-5-5", "none", HIDDEN, "low", ["changed=reasoning"]),
        ("claude-opus-5-5", "minimal", ADAPTIVE, "low", []),
        ("claude-opus-5-5", "xhigh", ADAPTIVE, "xhigh", []),
        ("claude-opus-5-5", "max", ADAPTIVE, "max", []),
        ("claude-opus-5-5", {"effort": "high", "summary": "auto"}, ADAPTIVE, "high", []),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None, []),
        ("claude-opus-5", "none", {"type": "disabled"}, None, []),
        ("claude-opus-4-6", "none", None, None, []),
        ("claude-opus-4-6", "xhigh", ADAPTIVE, "high", ["clamped=reasoning"]),
        ("claude-opus-4-6", "max", ADAPTIVE, "max", []),
        ("claude-opus-4-5", "xhigh", by_budget(24576), "high", ["clamped=reasoning"]),
        ("claude-sonnet-4-5", "minimal", by_budget(1024), None, []),
        ("claude-sonnet-4-5", "max", by_budget(32000), None, []),
        ("claude-sonnet-4-5", {"effort": "medium"}, by_budget(4096), None, []),
        ("claude-3-5-haiku", "high", None, None, ["dropped=reasoning"]),
    ],
)  # fmt: skip
async def test_e57_every_effort_maps_to_every_model(
    model: str, requested: Any, thinking: Json | None, effort: str | None, notices: list[str]
) -> None:
    """From none to max, as a word or as an object: the nearest value of the model, with a notice where it differs."""
    got = await chat(model=model, reasoning_effort=requested, max_tokens=None, settings=named(model))
    assert got.sent.get("thinking") == thinking
    assert got.sent.get("output_config", {}).get("effort") == effort
    assert got.notices == notices


@pytest.mark.parametrize("requested", ["ultra", {"effort": "ultra"}, 3, ["low"]], ids=repr)
async def test_e57_unknown_effort_is_rejected(requested: Any) -> None:
    """A word that no provider defines is a 400 that names the field."""
    got = await chat(reasoning_effort=requested)
    assert (got.status, got.error["param"]) == (400, "reasoning_effort")


@pytest.mark.parametrize(
    ("stop", "sent", "notices"),
    [
        ("\n", None, ["dropped=stop"]),
        ("", None, ["dropped=stop"]),
        ([], None, []),
        (["", "\n\t"], None, ["dropped=stop"]),
        (["END", "\n", "", "END", " x"], ["END", " x"], ["dropped=stop"]),
        ("END", ["END"], []),
        ([str(n) for n in range(9)], [str(n) for n in range(9)], []),
    ],
)
async def test_e69_blank_stop_sequences_are_dropped(stop: Any, sent: list[str] | None, notices: list[str]) -> None:
    """Claude rejects blank stop sequences: they are left out with a notice; if none remain the field is left out."""
    got = await chat(stop=stop)
    assert got.sent.get("stop_sequences", None) == sent
    assert ("stop_sequences" in got.sent) is bool(sent)
    assert got.notices == notices


NATIVE = f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "field"), [(PATH, "stop"), ("/v1/messages", "stop_sequences"), (NATIVE, "stop_sequences")]
)
async def test_e70_stop_sequences_arrive_on_each_path(path: str, field: str, *, stream: bool) -> None:
    """Whatever the dialect, and whether the reply is streamed. The Responses API has no such field."""
    upstream = FakeUpstream([stream_reply(*text_events("Hi")) if stream else message_reply()])
    if path == NATIVE:
        path += ":streamRawPredict" if stream else ":rawPredict"
    response = await request(gateway(upstream), "POST", path, ask(stream=stream, **{field: ["END", " x"]}))
    assert response.status == 200
    assert upstream.body()["stop_sequences"] == ["END", " x"]


@pytest.mark.parametrize("model", [SONNET, BUDGET, "claude-opus-4-6"])
async def test_e71_temperature_wins_over_top_p(model: str) -> None:
    """Both are rejected together: temperature is sent, top_p is dropped with a notice; alone it is sent."""
    got = await chat(model=model, temperature=0.2, top_p=0.9)
    assert got.sent["temperature"] == 0.2
    assert "top_p" not in got.sent
    assert got.notices == ["dropped=top_p"]
    got = await chat(model=model, top_p=0.9)
    assert (got.sent["top_p"], got.notices) == (0.9, [])


@pytest.mark.parametrize(
    ("names", "id"),
    [
        (
            ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5@20250929",
             "claude-sonnet-4-5@default", "vertex_ai/claude-sonnet-4-5", "Claude-Sonnet-4-5", "mine"],
            "claude-sonnet-4-5@20250929",
        ),
        (["claude-opus-5-5", "claude-opus-5-5@default", "anthropic/claude-opus-5-5", "mine"], "claude-opus-5-5"),
    ],
    ids=["dated", "undated"],
)  # fmt: skip
async def test_e72_all_names_of_a_model_have_the_same_rules(names: list[str], id: str) -> None:
    """Alias, dated, undated, ``@default``, with a routing prefix: the same request upstream, to the same model."""
    settings = {"vertex": {"models": [{"name": "mine", "model": id}]}}
    fields = {"temperature": 0.5, "top_p": 0.9, "reasoning_effort": "low", "response_format": json_schema(WEATHER)}
    calls = [(await chat(model=name, settings=settings, **fields)).upstream.calls[0] for name in names]
    assert {call.target.rpartition("/")[2] for call in calls} == {f"{id}:rawPredict"}
    assert len({call.body for call in calls}) == 1


@pytest.mark.parametrize(
    ("budget", "limit", "sent", "notices"),
    [
        (512, 4000, 1024, ["clamped=thinking.budget_tokens"]),
        (3000, 4000, 3000, []),
        (4000, 4000, 2000, ["clamped=thinking.budget_tokens"]),
        (32000, 1500, 1024, ["clamped=thinking.budget_tokens"]),
        (2000, 1024, None, ["dropped=thinking.budget_tokens"]),
        (2000, 300, None, ["dropped=thinking.budget_tokens"]),
    ],
)
async def test_e75_a_budget_is_brought_into_range(
    budget: int, limit: int, sent: int | None, notices: list[str]
) -> None:
    """A budget below the minimum, or not below the token limit: clamped, or no thinking where there is no valid value.
    The client's limit, which is its money, does not change."""
    got = await chat(model=BUDGET, thinking={"type": "enabled", "budget_tokens": budget}, max_tokens=limit)
    assert got.sent["max_tokens"] == limit
    assert got.sent.get("thinking") == ({"type": "enabled", "budget_tokens": sent} if sent else None)
    assert got.notices == notices


@pytest.mark.parametrize(
    ("model", "effort", "limit", "cap", "sent", "notices"),
    [
        (BUDGET, "high", 4000, 4000, 2000, ["clamped=reasoning"]),
        (BUDGET, "high", 1024, 1024, None, ["dropped=reasoning"]),
        (BUDGET, "max", None, 64_000, 32_000, []),
        (BARE, "max", None, 32_000, 16_000, ["clamped=reasoning"]),
    ],
)
async def test_e75_the_budget_of_an_effort_fits_the_limit(
    model: str, effort: str, limit: int | None, cap: int, sent: int | None, notices: list[str]
) -> None:
    """The same where the budget comes from an effort. Without a limit of the client the model's own applies, which
    cannot be raised."""
    got = await chat(model=model, reasoning_effort=effort, max_tokens=limit)
    assert got.sent["max_tokens"] == cap
    assert got.sent.get("thinking") == ({"type": "enabled", "budget_tokens": sent} if sent else None)
    assert got.notices == notices


CARDS = builtin().cards


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
async def test_e99_token_limit_above_the_maximum_is_clamped(card: ModelCard, name: str) -> None:
    """To the maximum of the model, with a notice; strict mode names the maximum. The maximum itself is not changed."""
    reply = [reply_of(text("Hello"), stream=card.max_output > 8192)]
    fields: Json = {"max_tokens": None, name: card.max_output + 1}
    settings = named(card.id)
    got = await chat(*reply, model=card.id, settings=settings, **fields)
    assert (got.sent["max_tokens"], got.notices) == (card.max_output, [f"clamped={name}"])
    got = await chat(*reply, model=card.id, headers={"x-modelmux-strict": "1"}, settings=settings, **fields)
    assert (got.status, got.error["param"]) == (400, name)
    assert str(card.max_output) in got.error["message"]
    got = await chat(reply_of(text("Hello"), stream=card.max_output > 8192), model=card.id, settings=settings,
                    **{"max_tokens": None, name: card.max_output})  # fmt: skip
    assert (got.sent["max_tokens"], got.notices) == (card.max_output, [])


WAYS = [False, True]


@pytest.mark.parametrize("stream", WAYS)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
async def test_e100_missing_token_limit_comes_from_the_catalog(card: ModelCard, stream: bool) -> None:
    """The catalog's, not one number for all models: a small one would cut messages short."""
    reply = reply_of(text("Hello"), stream=stream or card.max_output > 8192)
    got = await chat(reply, model=card.id, max_tokens=None, stream=stream, settings=named(card.id))
    assert (got.sent["max_tokens"], got.notices) == (card.max_output, [])
    assert got.message["content"] == "Hello"


async def test_g33_unsupported_temperature_is_dropped_with_a_notice() -> None:
    got = await chat(model=NEW, temperature=0.2)
    assert "temperature" not in got.sent
    assert any("temperature" in notice for notice in got.notices)
    unknown = await chat(model="claude-opus-6-2", temperature=0.2)
    assert unknown.status in (200, 404)
    strict = await chat(model=NEW, temperature=0.2, settings={"server": {"strict": True}})
    assert strict.status == 400


async def test_g44_every_path_translates_the_same_way() -> None:
    bodies = []
    for path in (PATH, "/chat/completions"):
        upstream = FakeUpstream([message_reply()])
        fields = {"tools": [tool()], "reasoning_effort": "low", "parallel_tool_calls": False}
        assert (await request(gateway(upstream), "POST", path, ask(**fields))).status == 200
        bodies.append(upstream.calls[0].body)
    assert bodies[0] == bodies[1]
