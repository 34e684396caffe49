"""Risk: another model answers where it must not, or none does where one could; a client or an operator cannot tell
which model answered."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.config import Config
from modelmux.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from support.asgi import request
from support.blocks import USER, assistant, thinking_block, tool, user
from support.clock import Clock, current_runtime, use_runtime
from support.fakes import FakeReply, FakeTokens, error_reply, event, stream_reply, text_events
from support.gateway import PROJECT
from support.log_lines import Lines
from support.models import HAIKU, OPUS, SMART, SONNET, ModelUpstream, call, not_found, overloaded, refusal, serve
from support.slow import SlowReply

TWO_LOCATIONS = {"name": "smart", "model": SONNET, "locations": ["eu", "us"], "fallbacks": [HAIKU]}

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    use_runtime(monkeypatch, now=lambda: 1_800_000_000.0, clock=clock, sleep=clock.sleep, jitter=lambda: 0.5)
    return clock


def quota(message: str) -> FakeReply:
    return error_reply(429, [{"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}}])


def google_error(status: int, name: str) -> FakeReply:
    return error_reply(status, [{"error": {"code": status, "message": "no", "status": name}}])


CURABLE: list[Any] = [
    overloaded,
    lambda: google_error(500, "INTERNAL"),
    lambda: google_error(503, "UNAVAILABLE"),
    lambda: quota("Quota exceeded."),
    lambda: quota("Quota limit: 0"),
    lambda: UpstreamUnreachable("no route"),
    lambda: UpstreamBroken("closed", reply_started=False),
    lambda: UpstreamTimeout("slow", clock="connect"),
    not_found,
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", CURABLE, ids=lambda failure: repr(failure())[:30])
async def test_another_model_answers_where_another_attempt_may_help(failure: Any, stream: bool) -> None:
    upstream, log = ModelUpstream(sonnet=[failure()]), Lines()
    config = Config.from_dict({"vertex": {"project": PROJECT, "location": "global", "models": [SMART]}})
    app = Gateway(config, log=log, upstream=upstream, tokens=FakeTokens(), runtime=current_runtime())
    response = await call(app, stream=stream)
    assert response.status == 200
    assert upstream.called() == [f"{SONNET}@eu", f"{HAIKU}@global"]
    headers = {name: response.headers[f"x-modelmux-{name}"] for name in ("model", "deployment", "attempts")}
    assert headers == {"model": HAIKU, "deployment": f"{HAIKU}@global", "attempts": "2"}
    answer = response.events()[0] if stream else response.json()
    assert answer["model"] == "smart", "the body has the name that the client asked for"
    (line,) = [fields for name, fields in log.lines if name == "request"]
    assert (line["route"], line["model"], line["deployment"]) == ("smart", HAIKU, f"{HAIKU}@global")


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (refusal(), 400),
        (refusal("prompt is too long: 1 > 0"), 400),
        (error_reply(413, {"type": "error", "error": {"type": "request_too_large", "message": "no"}}), 413),
        (google_error(403, "PERMISSION_DENIED"), 502),
        (UpstreamTimeout("slow", clock="first_byte"), 504),
        (UpstreamTimeout("slow", clock="idle"), 504),
    ],
    ids=repr,
)
async def test_no_other_model_is_tried_for_any_other_error(failure: Any, status: int) -> None:
    upstream = ModelUpstream(sonnet=[failure])
    assert (await call(serve(upstream))).status == status
    assert upstream.called() == [f"{SONNET}@eu"]


async def test_a_request_that_cannot_be_prepared_for_the_first_model_is_not_sent_to_another() -> None:
    model = SMART | {"model": OPUS, "fallbacks": ["claude-haiku-4-5"]}
    upstream = ModelUpstream()
    response = await call(serve(upstream, model), messages=[USER, assistant("I begin")])
    assert (response.status, upstream.called()) == (400, []), "prefill; Haiku 4.5 could"


@pytest.mark.virtual_time
async def test_another_model_answers_where_the_first_token_takes_too_long() -> None:
    upstream = ModelUpstream(sonnet=[SlowReply(5.0, *text_events("late"))])
    app = serve(upstream, SMART | {"timeouts": {"first_token": "2s"}})
    response = await call(app, stream=True)
    assert (response.headers["x-modelmux-model"], response.events()[-1]) == (HAIKU, "[DONE]")


async def test_all_deployments_of_the_first_model_come_before_the_fallbacks_in_their_order() -> None:
    models: list[dict[str, Any]] = [TWO_LOCATIONS | {"fallbacks": ["other", HAIKU]}, {"name": "other", "model": OPUS}]
    upstream = ModelUpstream(sonnet=[overloaded(), overloaded()], opus=[overloaded()])
    response = await call(serve(upstream, *models))
    assert response.headers["x-modelmux-deployment"] == f"{HAIKU}@global"
    assert upstream.called() == [f"{SONNET}@eu", f"{SONNET}@us", f"{OPUS}@global", f"{HAIKU}@global"]


async def test_the_fallbacks_of_a_fallback_are_not_tried() -> None:
    models: list[dict[str, Any]] = [
        SMART | {"fallbacks": ["other"]},
        {"name": "other", "model": OPUS, "fallbacks": [HAIKU]},
    ]
    upstream = ModelUpstream(sonnet=[overloaded() for _ in range(2)], opus=[overloaded() for _ in range(2)])
    assert (await call(serve(upstream, *models))).status == 503
    assert upstream.called() == [f"{SONNET}@eu", f"{OPUS}@global"] * 2


async def test_a_404_tries_no_other_deployment_of_the_same_model() -> None:
    upstream = ModelUpstream(sonnet=[not_found()])
    assert (await call(serve(upstream, TWO_LOCATIONS))).status == 200
    assert upstream.called() == [f"{SONNET}@eu", f"{HAIKU}@global"]
    upstream.scripts = {"sonnet": [not_found()], "haiku": [overloaded(), overloaded(), overloaded()]}
    response = await call(serve(upstream, TWO_LOCATIONS))
    assert (response.status, response.json()["error"]["code"]) == (503, "overloaded"), "this may pass"
    assert upstream.called() == [f"{SONNET}@eu", *[f"{HAIKU}@global"] * 3]


async def test_a_fallback_that_is_not_found_does_not_end_the_attempts_at_the_first_model() -> None:
    upstream = ModelUpstream(sonnet=[overloaded()], haiku=[not_found()])
    response = await call(serve(upstream))
    assert (response.status, response.headers["x-modelmux-model"]) == (200, SONNET)
    assert upstream.called() == [f"{SONNET}@eu", f"{HAIKU}@global", f"{SONNET}@eu"]


# fallbacks that do not accept the request


REFUSALS: list[Any] = [
    refusal("prompt is too long: 1 > 0"),
    not_found(),
    google_error(403, "PERMISSION_DENIED"),
    error_reply(413, {"type": "error", "error": {"type": "request_too_large", "message": "no"}}),
]


@pytest.mark.parametrize("answer", REFUSALS, ids=repr)
async def test_a_fallback_that_refuses_is_skipped_and_the_client_gets_the_first_models_error(answer: Any) -> None:
    upstream = ModelUpstream(sonnet=[quota("Quota exceeded."), overloaded()], haiku=[answer])
    response = await call(serve(upstream, retries={"max": 2}))
    assert (response.status, response.json()["error"]["code"]) == (503, "overloaded")
    assert upstream.called() == [f"{SONNET}@eu", f"{HAIKU}@global", f"{SONNET}@eu"], "it is not tried twice"
    upstream.scripts = {"sonnet": [quota("Quota exceeded.")], "haiku": [answer]}
    response = await call(serve(upstream, retries={"max": 1}))
    assert (response.status, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_the_next_fallback_is_tried_after_one_that_refuses() -> None:
    upstream = ModelUpstream(sonnet=[not_found()], opus=[refusal()])
    response = await call(serve(upstream, SMART | {"fallbacks": [OPUS, HAIKU]}))
    assert (response.status, response.headers["x-modelmux-model"]) == (200, HAIKU)
    assert upstream.called() == [f"{SONNET}@eu", f"{OPUS}@global", f"{HAIKU}@global"]


async def test_a_fallback_that_the_request_cannot_be_prepared_for_costs_no_attempt(no_waiting: list[float]) -> None:
    """Opus 5.5 cannot be forced to call a tool, Haiku can."""
    fields: dict[str, Any] = {"tools": [tool()], "tool_choice": "required"}
    smart = SMART | {"forced_tool_choice": "error"}
    upstream = ModelUpstream(sonnet=[overloaded()])
    app = serve(upstream, smart | {"fallbacks": ["claude-opus-5-5", HAIKU]}, retries={"max": 1})
    response = await call(app, **fields)
    assert (response.status, response.headers["x-modelmux-attempts"]) == (200, "2")
    assert (upstream.called(), no_waiting) == ([f"{SONNET}@eu", f"{HAIKU}@global"], [])

    upstream.scripts = {"sonnet": [not_found()]}
    response = await call(serve(upstream, smart | {"fallbacks": ["claude-opus-5-5"]}), **fields)
    assert (response.status, response.json()["error"]["code"]) == (404, "model_not_found")
    assert upstream.called() == [f"{SONNET}@eu"]


async def test_a_fallback_that_cannot_be_forced_to_call_a_tool_decides_itself(no_waiting: list[float]) -> None:
    upstream = ModelUpstream(sonnet=[overloaded()])
    app = serve(upstream, SMART | {"fallbacks": ["claude-opus-5-5", HAIKU]}, retries={"max": 1})
    response = await call(app, tools=[tool()], tool_choice="required")
    assert (response.status, upstream.called()) == (200, [f"{SONNET}@eu", "claude-opus-5-5@global"])
    assert "changed=tool_choice" in response.headers["x-modelmux-notices"]


@pytest.mark.parametrize("headers", [None, {"x-modelmux-strict": "true"}])
async def test_strict_mode_skips_a_model_for_which_the_request_would_be_changed(headers: dict[str, str] | None) -> None:
    """Haiku 5.5 takes no temperature."""
    settings = {"server": {"strict": True}} if headers is None else {}
    upstream = ModelUpstream(sonnet=[overloaded()])
    response = await call(serve(upstream, **settings), headers, temperature=0.5)
    assert (response.status, response.headers["x-modelmux-model"]) == (200, SONNET)
    assert upstream.called() == [f"{SONNET}@eu", f"{SONNET}@eu"]
    lenient = ModelUpstream(sonnet=[overloaded()])
    response = await call(serve(lenient), temperature=0.5)
    assert response.headers["x-modelmux-model"] == HAIKU
    assert "temperature" in response.headers["x-modelmux-notices"]


async def test_what_can_be_corrected_is_corrected_for_a_fallback_too() -> None:
    messages = [USER, assistant("Hello", thinking_blocks=[thinking_block()]), USER]
    bad = refusal("messages.1.content.0: Invalid `signature` in `thinking` block")
    upstream = ModelUpstream(sonnet=[overloaded(), bad], haiku=[google_error(401, "UNAUTHENTICATED"), overloaded()])
    response = await call(serve(upstream), messages=messages, reasoning_effort="low")
    assert (response.status, response.headers["x-modelmux-model"]) == (200, SONNET)
    assert upstream.called() == [f"{SONNET}@eu", *[f"{HAIKU}@global"] * 2, *[f"{SONNET}@eu"] * 2]


async def test_the_first_model_gets_its_attempt_when_a_fallback_refuses_before_it(clock: Clock) -> None:
    """While the first model rests, its fallback is called first. What that refuses may be fine for the first one."""
    upstream = ModelUpstream(sonnet=[quota("Quota exceeded.")])
    app = serve(upstream)
    assert (await call(app)).headers["x-modelmux-attempts"] == "2"
    upstream.called()
    assert (await call(app)).headers["x-modelmux-attempts"] == "1"
    assert upstream.called() == [f"{HAIKU}@global"]
    upstream.scripts["haiku"] = [refusal("prompt is too long: 1 > 0")]
    response = await call(app)
    assert (response.status, upstream.called()) == (200, [f"{HAIKU}@global", f"{SONNET}@eu"])
    assert clock.slept == []


async def test_a_quota_of_zero_is_not_waited_for_and_named_for_the_first_model(clock: Clock) -> None:
    upstream = ModelUpstream(sonnet=[quota("Quota limit: 0")])
    app = serve(upstream)
    for _ in range(3):
        assert (await call(app)).headers["x-modelmux-model"] == HAIKU
    assert upstream.called() == [f"{SONNET}@eu", *[f"{HAIKU}@global"] * 3]

    upstream.scripts = {"sonnet": [quota("Quota limit: 0")], "haiku": [quota("Quota limit: 0")]}
    app = serve(upstream)
    for _ in range(2):
        error = (await call(app)).json()["error"]
        assert (error["code"], SONNET in error["message"]) == ("insufficient_quota", True)
    assert upstream.called() == [f"{SONNET}@eu", f"{HAIKU}@global"]


# limits


async def test_without_retries_there_are_no_fallbacks(clock: Clock) -> None:
    """Not even while the circuit breaker of the first model is open."""
    upstream = ModelUpstream(sonnet=[overloaded() for _ in range(12)])
    app = serve(upstream, retries={"max": 0})
    for _ in range(12):
        assert (await call(app)).status == 503
    assert upstream.called() == [f"{SONNET}@eu"] * 12
    response = await call(app)
    assert (response.status, response.headers["x-modelmux-model"]) == (200, SONNET)


@pytest.mark.parametrize(("retries", "status"), [(1, 503), (2, 200)])
async def test_a_fallback_counts_as_a_retry(retries: int, status: int) -> None:
    upstream = ModelUpstream(sonnet=[overloaded(), overloaded()])
    assert (await call(serve(upstream, TWO_LOCATIONS, retries={"max": retries}))).status == status
    assert len(upstream.called()) == retries + 1


async def test_a_fallback_stays_inside_the_geography_of_the_model_that_was_asked_for() -> None:
    models: list[dict[str, Any]] = [
        SMART | {"geography": "eu", "fallbacks": ["other"]},
        {"name": "other", "model": OPUS, "locations": ["us", "global", "eu"]},
    ]
    upstream = ModelUpstream(sonnet=[overloaded(), overloaded()], opus=[overloaded()])
    assert (await call(serve(upstream, *models, retries={"max": 2}))).status == 503
    assert upstream.called() == [f"{SONNET}@eu", f"{OPUS}@eu", f"{SONNET}@eu"]
    await call(serve(upstream, *models), model="other")
    assert upstream.called() == [f"{OPUS}@us"], "asked for itself, it is not bound"


async def test_circuit_breakers_and_quotas_belong_to_deployments(clock: Clock) -> None:
    models: list[dict[str, Any]] = [SMART, {"name": "haiku", "model": HAIKU}]
    upstream = ModelUpstream(sonnet=[overloaded() for _ in range(5)], haiku=[overloaded() for _ in range(5)])
    app = serve(upstream, *models, retries={"max": 1})
    for number in range(5):
        assert (await call(app, messages=[user(f"Question {number}")])).status == 503
    value = app.metrics.registry.get_sample_value
    for deployment in ("smart@eu", "haiku@global"):
        assert value("modelmux_deployment_circuit_open", {"deployment": deployment}) == 1
        assert value("modelmux_deployment_in_flight", {"deployment": deployment}) == 0
    upstream.called()
    clock.now += 6
    assert (await call(app)).headers["x-modelmux-model"] == SONNET, "the probe"
    assert value("modelmux_deployment_circuit_open", {"deployment": "smart@eu"}) == 0
    assert value("modelmux_deployment_circuit_open", {"deployment": "haiku@global"}) == 1


async def test_a_reload_keeps_what_is_known_of_a_fallback_from_the_catalog(clock: Clock) -> None:
    upstream = ModelUpstream(sonnet=[quota("Quota exceeded.")], haiku=[quota("Quota exceeded.")])
    app = serve(upstream, SMART | {"fallbacks": [HAIKU, OPUS]})
    assert (await call(app)).headers["x-modelmux-model"] == OPUS
    await app.reload(Config.from_dict({"vertex": {"project": PROJECT, "location": "global", "models": [
        SMART | {"fallbacks": [HAIKU, OPUS], "max_in_flight": 7}]}}))  # fmt: skip
    upstream.called()
    assert (await call(app, messages=[user("Something new")])).headers["x-modelmux-model"] == OPUS
    assert upstream.called() == [f"{OPUS}@global"], "the quotas of the two others still rest"


# several models without fallbacks


async def test_deployments_of_several_models_are_used_in_their_order() -> None:
    deployments = [{}, {"model": OPUS, "order": 1}]
    upstream = ModelUpstream(sonnet=[overloaded()])
    app = serve(upstream, {"name": "smart", "model": SONNET, "deployments": deployments})
    response = await call(app)
    assert response.headers["x-modelmux-deployment"] == f"smart/{OPUS}@global"
    assert upstream.called() == [f"{SONNET}@global", f"{OPUS}@global"]
    await call(app, model=OPUS)
    assert upstream.called() == [f"{OPUS}@global"], "a model's own name is served by that model"


async def test_models_of_the_same_order_share_the_conversations_by_weight() -> None:
    deployments = [{"weight": 3}, {"model": OPUS}]
    upstream = ModelUpstream()
    app = serve(upstream, {"name": "smart", "model": SONNET, "deployments": deployments})
    models = []
    for number in range(300):
        messages = [user(f"Question {number}")]
        turns = [messages, [*messages, assistant("So?"), USER]]
        answers = [(await call(app, messages=turn)).headers["x-modelmux-model"] for turn in turns]
        assert answers[0] == answers[1], "a conversation keeps its model"
        models.append(answers[0])
    assert set(models) == {SONNET, OPUS}
    assert 170 < models.count(SONNET) < 270


async def test_the_models_page_shows_the_first_model() -> None:
    app = serve(ModelUpstream(), SMART | {"model": "claude-sonnet-4-5", "location": "global"})
    smart = (await request(app, "GET", "/v1/models/smart", headers={"anthropic-version": "2023-06-01"})).json()
    alone = serve(ModelUpstream(), {"name": "smart", "model": "claude-sonnet-4-5"})
    assert smart == (await request(alone, "GET", "/v1/models/smart", headers={"anthropic-version": "1"})).json()


# streams


MODES = ["standard", "buffered", "single"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "pieces",
    [
        [event("error", error={"type": "overloaded_error", "message": "Overloaded"})],
        [text_events("x")[0], event("error", error={"type": "overloaded_error", "message": "Overloaded"})],
        text_events("x")[:3],
        [],
    ],
    ids=["error first", "error after start", "cut before content", "empty"],
)
async def test_a_stream_that_fails_before_content_falls_over(pieces: list[Any], mode: str) -> None:
    upstream = ModelUpstream(sonnet=[stream_reply(*pieces)])
    response = await call(serve(upstream, streaming={"mode": mode}), stream=True, max_tokens=60_000)
    events = response.events()
    assert (response.headers["x-modelmux-model"], events[-1]) == (HAIKU, "[DONE]")
    assert "".join(e["choices"][0]["delta"].get("content") or "" for e in events[:-1]) == HAIKU


@pytest.mark.parametrize("mode", ["standard", "buffered"])
async def test_a_stream_that_fails_after_content_does_not(mode: str) -> None:
    upstream = ModelUpstream(sonnet=[stream_reply(*text_events("some text")[:4])])
    response = await call(serve(upstream, streaming={"mode": mode}), stream=True)
    assert response.headers["x-modelmux-model"] == SONNET
    assert "error" in response.events()[-1]
    assert upstream.called() == [f"{SONNET}@eu"]


@pytest.mark.virtual_time
async def test_headers_before_the_reply_do_not_guess_the_model() -> None:
    settings: Any = {"streaming": {"keep_alive_interval": "50ms"}}
    late = SlowReply(0.2, UpstreamBroken("reset", reply_started=True))
    response = await call(serve(ModelUpstream(sonnet=[late]), **settings), stream=True)
    assert (response.body.startswith(b": ping\n\n"), response.events()[-1]) == (True, "[DONE]")
    assert "x-modelmux-model" not in response.headers
    assert HAIKU.encode() in response.body
    one_model = SMART | {"fallbacks": []}
    late = SlowReply(0.2, UpstreamBroken("reset", reply_started=True))
    response = await call(serve(ModelUpstream(sonnet=[late]), one_model, **settings), stream=True)
    assert response.headers["x-modelmux-model"] == SONNET


# records


async def test_every_attempt_is_recorded_with_its_model_and_usage() -> None:
    started = [text_events("x")[0], event("error", error={"type": "overloaded_error", "message": "Overloaded"})]
    upstream = ModelUpstream(sonnet=[stream_reply(*started)])
    app = serve(upstream)
    await call(app, stream=True)
    value = app.metrics.registry.get_sample_value
    assert value("modelmux_tokens_total", {"route": "smart", "type": "input"}) == 14, "both attempts"
    for deployment, result in (("smart@eu", "overloaded"), (f"{HAIKU}@global", "ok")):
        assert value("modelmux_upstream_attempts_total", {"deployment": deployment, "result": result}) == 1
