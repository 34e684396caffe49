"""Risk: a trace whose parents are wrong, that is sent twice or ends early, that says success of a failure, or that has
what people wrote; a gateway that waits for its collector.

With the real SDK and a receiver that reads what it is sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.config.errors import ConfigError
from support.asgi import Response, request
from support.canary_requests import BODIES, OVERLOADED, TWO
from support.clock import current_runtime
from support.emulator_server import until
from support.fakes import (
    FakeReply,
    FakeTokens,
    FakeUpstream,
    error_reply,
    message_reply,
    stream_reply,
    text_events,
)
from support.gateway import MODEL
from support.log_lines import Lines

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
from support.otlp import Receiver, attributes

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "user-agent": "tester/1.0 secret words"}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver().listening() as receiver:
        for name, value in receiver.environment.items():
            monkeypatch.setenv(name, value)
        yield receiver


def gateway(
    receiver: Receiver, *replies: Any, environment: dict[str, str] | None = None, log: Any = None, **settings: Any
) -> Gateway:
    vertex = {"project": "p", "location": "global"} | settings.pop("vertex", {})
    config = Config.from_dict({"vertex": vertex, **settings})
    return Gateway(
        config,
        log=log,
        upstream=FakeUpstream(list(replies)),
        tokens=FakeTokens(),
        environment={**receiver.environment, **(environment or {})},
        runtime=current_runtime(),
    )


async def ended(app: Gateway, dialect: str, headers: dict[str, str] = SAMPLED, **fields: Any) -> Response:
    path, body = BODIES[dialect]
    response = await request(app, "POST", path, body | fields, headers)
    await app.aclose()
    return response


def tree(receiver: Receiver) -> tuple[Any, Any, list[Any]]:
    """The spans of the request, of the model and of the attempts; exactly one tree."""
    spans = receiver.steady_spans
    (root,) = [one for one in spans if one.kind == 2]
    (model,) = [one for one in spans if one.parent_span_id == root.span_id]
    attempts = [one for one in spans if one.parent_span_id == model.span_id]
    assert len(spans) == 2 + len(attempts), "one tree"
    assert {one.trace_id.hex() for one in receiver.spans} == {TRACE}
    assert root.parent_span_id.hex() == PARENT
    for inner, outer in ((model, root), *((one, model) for one in attempts)):
        assert outer.start_time_unix_nano <= inner.start_time_unix_nano <= inner.end_time_unix_nano
        assert inner.end_time_unix_nano <= outer.end_time_unix_nano
    return root, model, attempts


@pytest.mark.parametrize(("genai", "own"), [("0.1", "cache_write"), ("1.37", "cache_creation")])
async def test_the_conventions_of_a_setting_have_their_own_names(receiver: Receiver, genai: str, own: str) -> None:
    usage = {"input_tokens": 7, "output_tokens": 3, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 9}
    await ended(gateway(receiver, message_reply(usage=usage), telemetry={"genai": genai}), "anthropic_messages")
    sent = attributes(tree(receiver)[1])
    assert (sent["gen_ai.usage.input_tokens"], sent[f"gen_ai.usage.{own}.input_tokens"]) == (46, 30)
    assert len([name for name in sent if "cache_write" in name or "cache_creation" in name]) == 1, "never both"


async def test_tokens_of_spans_can_be_left_to_clients(receiver: Receiver) -> None:
    app = gateway(receiver, message_reply(), telemetry={"usage_attributes": False})
    await ended(app, "anthropic_messages")
    sent = attributes(tree(receiver)[1])
    assert not [name for name in sent if name.startswith("gen_ai.usage.")]
    assert sent["modelmux.cost.usd"] == "0.000066"


@pytest.mark.parametrize(
    ("keep", "reply", "kept"),
    [
        ([], error_reply(500, {"error": {"message": "no"}}), False),
        (["errors"], error_reply(500, {"error": {"message": "no"}}), True),
        (["errors"], message_reply(), False),
        (["slow>1h", "cost>1"], message_reply(), False),
        (["slow>0ms"], message_reply(), True),
        (["cost>0.00006"], message_reply(), True),
    ],
)
async def test_traces_are_kept_by_how_requests_went(
    receiver: Receiver, keep: list[str], reply: Any, kept: bool
) -> None:
    """No sampler chooses them; the exemplar of the duration is the same trace."""
    app = gateway(
        receiver, reply, environment={"OTEL_TRACES_SAMPLER": "always_off"}, telemetry={"keep": keep}, retries={"max": 0}
    )
    await ended(app, "anthropic_messages", {})
    assert len({one.trace_id for one in receiver.spans}) == int(kept)
    traces = re.findall(r'trace_id="(\w+)"', app.metrics.expose(open_metrics=True).decode())
    assert traces == [one.trace_id.hex() for one in receiver.spans if one.kind == 2]


@pytest.mark.parametrize("dialect", BODIES)
async def test_a_request_is_one_tree_with_the_names_of_the_conventions(dialect: str, receiver: Receiver) -> None:
    assert (await ended(gateway(receiver, message_reply()), dialect)).status == 200
    root, model, attempts = tree(receiver)
    assert root.name == f"POST {BODIES[dialect][0]}"
    own = attributes(root)
    assert own.pop("modelmux.request_id").startswith("req_")
    own.pop("modelmux.notices", None)
    assert own == {
        "http.request.method": "POST",
        "http.route": BODIES[dialect][0],
        "http.response.status_code": 200,
        "user_agent.original": "tester/1.0",
        "modelmux.dialect": dialect,
        "modelmux.operation": "generate",
        "modelmux.outcome": "ok",
        "modelmux.route": MODEL,
    }
    assert model.name == f"chat {MODEL}"
    assert attributes(model) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.vertex_ai",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.id": attributes(model)["gen_ai.response.id"],
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "aiplatform.googleapis.com",
        "modelmux.requested_model": MODEL,
        "modelmux.attempts": 1,
        "modelmux.cost.usd": "0.000066",
    }
    (attempt,) = attempts
    assert attributes(attempt) == {
        "http.request.method": "POST",
        "server.address": "aiplatform.googleapis.com",
        "http.response.status_code": 200,
        "modelmux.deployment": f"{MODEL}@global",
        "modelmux.location": "global",
    }
    assert [one.status.code for one in receiver.steady_spans] == [0, 0, 0]
    assert "canary" not in str(receiver.requests)
    (resource,) = receiver.resources
    assert resource["service.name"] == "modelmux"


@pytest.mark.parametrize("dialect", BODIES)
async def test_a_failover_is_a_second_attempt_of_one_call(
    dialect: str, receiver: Receiver, no_waiting: list[float]
) -> None:
    app = gateway(receiver, error_reply(503, {}), message_reply(), vertex=TWO)
    assert (await ended(app, dialect)).status == 200
    _, model, attempts = tree(receiver)
    assert attributes(model)["modelmux.attempts"] == 2
    assert model.status.code == 0
    first, second = (attributes(one) for one in attempts)
    assert (first["http.response.status_code"], first["server.address"]) == (503, "us-east5-aiplatform.googleapis.com")
    assert (second["modelmux.location"], "error.type" in second) == ("europe-west1", False)
    assert "error.type" in first
    assert [one.status.code for one in attempts] == [2, 0]


@pytest.mark.parametrize("dialect", BODIES)
async def test_a_stream_that_breaks_is_an_error_although_http_says_200(dialect: str, receiver: Receiver) -> None:
    broken = b"".join(text_events("Hi")[:4]) + OVERLOADED
    response = await ended(gateway(receiver, stream_reply(broken)), dialect, stream=True)
    assert response.status == 200
    root, model, attempts = tree(receiver)
    assert (root.status.code, attributes(root)["http.response.status_code"]) == (2, 200)
    own = attributes(model)
    assert (own["error.type"], own["gen_ai.response.finish_reasons"]) == ("overloaded", ["error"])
    assert own["gen_ai.request.stream"] is True
    assert own["gen_ai.response.time_to_first_chunk"] >= 0
    assert (model.status.code, len(attempts)) == (2, 1)


@pytest.mark.parametrize("dialect", BODIES)
async def test_a_stream_that_breaks_by_a_rate_limit_is_an_error_too(dialect: str, receiver: Receiver) -> None:
    broken = b"".join(text_events("Hi")[:4]) + OVERLOADED.replace(b"overloaded_error", b"rate_limit_error")
    assert (await ended(gateway(receiver, stream_reply(broken)), dialect, stream=True)).status == 200
    root, model, _ = tree(receiver)
    assert (root.status.code, model.status.code, attributes(root)["http.response.status_code"]) == (2, 2, 200)


async def test_the_name_of_a_call_has_the_model_that_was_called_first(
    receiver: Receiver, no_waiting: list[float]
) -> None:
    other = "claude-haiku-4-5"
    models = [{"name": MODEL, "model": MODEL, "fallbacks": [other]}, {"name": other, "model": other}]
    app = gateway(receiver, error_reply(529, {}), message_reply(), vertex={"models": models})
    assert (await ended(app, "anthropic_messages")).status == 200
    _, model, _ = tree(receiver)
    own = attributes(model)
    assert (model.name, own["gen_ai.request.model"]) == (f"chat {MODEL}", MODEL)
    assert own["gen_ai.response.model"].startswith(other)


async def test_a_key_that_was_sent_as_a_model_is_in_no_span(receiver: Receiver) -> None:
    key = "team-key-of-the-operator"
    vertex = {"model": MODEL, "default_for_unknown_models": True}
    app = gateway(receiver, message_reply(), vertex=vertex, server={"api_keys": [key]})
    headers = SAMPLED | {"authorization": f"Bearer {key}"}
    assert (await ended(app, "openai_chat", headers, model=key)).status == 200
    assert attributes(tree(receiver)[1])["modelmux.requested_model"] == "-"
    assert key not in str(receiver.requests)


async def test_usage_counts_what_the_cache_read_and_wrote(receiver: Receiver) -> None:
    cached = {"cache_read_input_tokens": 200, "cache_creation_input_tokens": 3000}
    usage = {"input_tokens": 10, "output_tokens": 4, **cached}
    await ended(gateway(receiver, message_reply(usage=usage)), "openai_chat")
    _, model, _ = tree(receiver)
    own = {name: value for name, value in attributes(model).items() if name.startswith("gen_ai.usage.")}
    assert own == {
        "gen_ai.usage.input_tokens": 3210,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 200,
        "gen_ai.usage.cache_write.input_tokens": 3000,
    }


async def test_a_refused_request_is_no_error_of_ours(receiver: Receiver) -> None:
    assert (await ended(gateway(receiver), "openai_chat", model="nothing")).status == 404
    (root,) = receiver.spans
    assert (root.status.code, attributes(root)["http.response.status_code"]) == (0, 404)
    assert attributes(root)["error.type"]


class Held(FakeReply):
    """A reply that comes when it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.asked = asyncio.Event()
        whole = message_reply()
        super().__init__(200, whole.headers, whole._pieces)

    async def read(self, limit: int) -> bytes:
        self.asked.set()
        await self.released.wait()
        return await super().read(limit)


async def test_a_request_that_waits_for_a_slot_has_a_span_of_that(receiver: Receiver) -> None:
    held = Held()
    limits = {"max_concurrent_requests": 1, "max_queued_requests": 1}
    app = gateway(receiver, held, message_reply(), limits=limits)
    path, body = BODIES["openai_chat"]
    unsampled = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    first = asyncio.create_task(request(app, "POST", path, body, unsampled))
    await held.asked.wait()
    second = asyncio.create_task(request(app, "POST", path, body, SAMPLED))
    await until(lambda: app._limiter.queued == 1)
    await asyncio.sleep(0.01)
    held.released.set()
    assert [(await first).status, (await second).status] == [200, 200]
    await app.aclose()
    (root,) = [one for one in receiver.spans if one.kind == 2]
    (waited,) = [one for one in receiver.spans if one.name == "modelmux.admission"]
    (model,) = [one for one in receiver.spans if one.name.startswith("chat")]
    assert (waited.kind, waited.parent_span_id, waited.status.code) == (1, root.span_id, 0)
    assert root.start_time_unix_nano <= waited.start_time_unix_nano
    assert waited.end_time_unix_nano - waited.start_time_unix_nano >= 10_000_000
    assert waited.end_time_unix_nano <= model.start_time_unix_nano


@pytest.mark.parametrize("sampled", [True, False])
async def test_the_log_line_has_the_span_that_is_sent_and_no_other(receiver: Receiver, sampled: bool) -> None:
    log = Lines()
    headers = SAMPLED if sampled else {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    await ended(gateway(receiver, message_reply(), log=log), "openai_chat", headers)
    (line,) = [fields for event, fields in log.lines if event == "request"]
    assert line["trace_id"] == TRACE
    assert line["span_id"] == (tree(receiver)[0].span_id.hex() if sampled else None)


async def test_what_the_client_does_not_sample_is_not_sent(receiver: Receiver) -> None:
    unsampled = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    await ended(gateway(receiver, message_reply()), "openai_chat", unsampled)
    assert receiver.spans == []


async def test_a_trace_begins_here_where_the_client_has_none(receiver: Receiver) -> None:
    app = gateway(receiver, message_reply(), environment={"OTEL_TRACES_SAMPLER": "always_on"})
    await ended(app, "openai_chat", {})
    assert len(receiver.steady_spans) == 3
    (root,) = [one for one in receiver.spans if not one.parent_span_id]
    assert {one.trace_id for one in receiver.spans} == {root.trace_id}


@pytest.mark.parametrize("dialect", BODIES)
@pytest.mark.parametrize("client", [SAMPLED | {"tracestate": "a=1"}, {}], ids=["of the client", "begun here"])
async def test_calls_say_which_trace_they_belong_to_where_that_is_wanted(
    receiver: Receiver, dialect: str, client: dict[str, str]
) -> None:
    busy = error_reply(529, {"error": {"type": "overloaded_error", "message": "busy"}})
    app = gateway(
        receiver, busy, message_reply(), environment={"OTEL_TRACES_SAMPLER": "parentbased_always_on"},
        telemetry={"propagate": True},
    )  # fmt: skip
    assert (await ended(app, dialect, client)).status == 200
    spans = receiver.steady_spans
    attempts = sorted((one for one in spans if one.name == "POST"), key=lambda one: one.start_time_unix_nano)
    calls = [dict(call.headers) for call in app._upstream.calls]
    assert [call[b"traceparent"].decode() for call in calls] == [
        f"00-{one.trace_id.hex()}-{one.span_id.hex()}-01" for one in attempts
    ]
    assert len(attempts) == 2
    assert len({one.trace_id for one in spans}) == 1
    assert {call.get(b"tracestate") for call in calls} == ({b"a=1"} if client else {None})
    assert all(not call.head for call in app._upstream.calls), "the header is sent, too"


@pytest.mark.parametrize("propagate", [True, False])
async def test_calls_say_that_a_trace_is_not_sampled_or_nothing(receiver: Receiver, propagate: bool) -> None:
    app = gateway(receiver, message_reply(), telemetry={"propagate": propagate})
    await ended(app, "openai_chat", {"traceparent": f"00-{TRACE}-{PARENT}-00"})
    (call,) = app._upstream.calls
    sent = dict(call.headers).get(b"traceparent")
    assert re.fullmatch(rb"00-%b-[0-9a-f]{16}-00" % TRACE.encode(), sent) if propagate else sent is None
    assert not receiver.spans


async def test_a_collector_that_fails_costs_the_client_nothing_and_is_counted(receiver: Receiver) -> None:
    receiver.status = 400  # what is not repeated
    app = gateway(receiver, message_reply())
    assert (await ended(app, "openai_chat")).status == 200
    assert app._open_telemetry.dropped in (3, 4)  # on a busy machine there is one of a wait for admission


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_SAMPLER": "sometimes"}, "OTEL_TRACES_SAMPLER: 'sometimes' is none of"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not spoken here; set it to"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: 'zipkin' is none of otlp, console, none"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: it is not a"),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "9999"}, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '9999' is more than 4096"),
        ({"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "1s"}, "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT: '1s' is not a number"),
    ],
)
def test_a_variable_that_cannot_be_used_is_an_error_at_the_start(
    environment: dict[str, str], message: str, receiver: Receiver
) -> None:
    with pytest.raises(ConfigError, match=message):
        gateway(receiver, environment=environment)


@pytest.mark.parametrize("environment", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
async def test_traces_can_be_switched_off(environment: dict[str, str], receiver: Receiver) -> None:
    await ended(gateway(receiver, message_reply(), environment=environment), "openai_chat")
    assert receiver.spans == []
