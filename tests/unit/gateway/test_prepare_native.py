"""Risk: a Messages client meets another stream than Anthropic's: two ends or none, an error that could have been
retried, a refused beta that costs every request, a repair that hides the words that clients repair themselves by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.claude.options import Options
from modelmux.dialects.registry import ANTHROPIC_MESSAGES, VERTEX_RAW
from modelmux.errors import UpstreamBroken
from modelmux.gateway.refusals import Refusals
from support.clock import loop_time
from support.exchange_world import OTHER_CARD, A, B, Ended, Responded, Started, World, deployment
from support.fakes import event, text_events
from support.playbook import (
    Playbook,
    anything,
    breaks,
    calls,
    closes,
    completes,
    ends,
    fails,
    gets,
    head,
    keep_alive,
    replies,
    responds,
    sends,
    settled,
    starts,
    streams,
)

START, PING, BLOCK, TEXT, STOP_BLOCK, DELTA, STOP = text_events("Hello!")
STREAM = b"".join(text_events("Hello!"))
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_u"}
OVERLOADED_EVENT = f"event: error\ndata: {json.dumps(OVERLOADED)}\n\n".encode()
CUT = UpstreamBroken("The connection was cut.", reply_started=True)
BETA = "brand-new-2027-01-01"
REFUSAL = {
    "type": "error", "request_id": "req_b",
    "error": {"type": "invalid_request_error",
              "message": f"Unexpected value(s) `{BETA}` for the `anthropic-beta` header."},
}  # fmt: skip
SIGNATURE = {
    "type": "error", "request_id": "req_s",
    "error": {"type": "invalid_request_error",
              "message": "messages.1.content.0: Invalid `signature` in `thinking` block"},
}  # fmt: skip
HISTORY = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "text", "text": "Hello."},
    ]},
    {"role": "user", "content": "Go on."},
]  # fmt: skip
FALLBACK = deployment("f", 1, card=OTHER_CARD)


def messages(stream: bool = True, dialect: Any = ANTHROPIC_MESSAGES, **setting: Any) -> Playbook:
    """An exchange with a client of Messages."""
    request = {"model": "chat", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    body = json.dumps(request | setting.pop("request", {})).encode()
    return Playbook(dialect, body=body, **setting)


def headers(**values: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]


def sent_betas(world: World, index: int) -> list[bytes]:
    return [value for name, value in world.upstream.calls[index].headers if name == b"anthropic-beta"]


def error_data(data: bytes) -> Any:
    """The data of a stream's only event, an error."""
    assert data.startswith(b"event: error\ndata: ")
    assert data.count(b"data: ") == 1
    return json.loads(data.partition(b"data: ")[2])


# The stream


async def test_a_stream_passes_as_it_came_with_the_ids_of_both_sides() -> None:
    await (
        messages() << calls("a") >> head(request_id="req_u", anthropic_organization_id="o", server="x")
        >> sends(START, PING) >> sends(BLOCK + TEXT)
        << starts(request_id="req_u", x_request_id="req_1", anthropic_organization_id="o", x_modelmux_attempts="1")
        << gets(START + PING + BLOCK + TEXT)
        >> streams(STOP_BLOCK, DELTA, STOP) << completes(STOP_BLOCK + DELTA + STOP) << settled("ok", status=200)
    ).play()  # fmt: skip


async def test_limits_and_machines_of_the_upstream_are_not_shown() -> None:
    def check(world: World) -> None:
        (started,) = [effect for effect in world.effects if isinstance(effect, Started)]
        world.effects.clear()
        assert not {"server", "via", "anthropic-ratelimit-requests-limit", "x-goog-x"} & set(started.headers)
        assert started.headers["request-id"] == "req_1"

    await (
        messages() << calls("a")
        >> head(server="x", via="y", anthropic_ratelimit_requests_limit="5", x_goog_x="z") >> streams(STREAM) << check
    ).play()  # fmt: skip


async def test_an_error_event_before_content_fails_over() -> None:
    await (
        messages(deployments=(A, B)) << calls("a") >> head() >> sends(START, PING, OVERLOADED_EVENT) << calls("b")
        >> head(request_id="req_b") >> streams(STREAM) << starts(request_id="req_b", x_modelmux_attempts="2")
        << completes(STREAM) << settled("ok")
    ).play()  # fmt: skip


async def test_an_error_event_after_content_is_the_only_end_and_in_the_upstreams_words() -> None:
    world = await (
        messages(deployments=(A, B)) << calls("a") >> head() >> sends(START + BLOCK + TEXT) << starts()
        << gets(START + BLOCK + TEXT) >> sends(OVERLOADED_EVENT + STOP_BLOCK) << ends(OVERLOADED_EVENT)
        << settled("upstream_error", status=529)
    ).play()  # fmt: skip
    assert len(world.upstream.calls) == 1


async def test_a_cut_stream_ends_in_an_error_and_not_in_silence() -> None:
    def check(world: World) -> None:
        (ended,) = world.effects
        world.effects.clear()
        assert isinstance(ended, Ended)
        error = error_data(ended.data)
        assert (error["type"], error["error"]["type"], error["request_id"]) == ("error", "api_error", "req_1")

    for event_ in (closes(), breaks(CUT)):
        await (
            messages(deployments=(A, B)) << calls("a") >> head() >> sends(START + BLOCK + TEXT) << starts()
            << gets(START + BLOCK + TEXT) >> event_ << check << settled("upstream_error", status=503)
        ).play()  # fmt: skip


async def test_keep_alives_are_comments_before_the_message_and_pings_within() -> None:
    await (
        messages(deployments=(A, B)) << calls("a") >> keep_alive() << starts(request_id="req_1") << gets(b": ping\n\n")
        >> head() >> sends(START) >> keep_alive() << gets(b": ping\n\n") >> breaks(CUT) << calls("b") >> head()
        >> sends(START + BLOCK + TEXT) << gets(START + BLOCK + TEXT)
        >> keep_alive() << gets(b'event: ping\ndata: {"type": "ping"}\n\n')
        >> streams(STOP_BLOCK + DELTA + STOP) << completes(STOP_BLOCK + DELTA + STOP)
    ).play()  # fmt: skip


async def test_a_final_failure_behind_a_keep_alive_is_an_error_event() -> None:
    await (
        messages(max_attempts=1) << calls("a") >> keep_alive() << starts() << gets(b": ping\n\n")
        >> replies(OVERLOADED, 529) << ends(OVERLOADED_EVENT) << settled("upstream_error", status=529)
    ).play()  # fmt: skip


# The model in replies


@pytest.mark.parametrize("before", [b"", PING, b": comment\n\n"])
async def test_the_reply_may_show_the_requested_model(before: bytes) -> None:
    start = event("message_start", message={"id": "m", "model": "claude-x", "usage": {"input_tokens": 1}})
    renamed = start.replace(b'"claude-x"', b'"chat"')
    playbook = messages(options=Options(reply_model="requested"))
    playbook << calls("a") >> head() >> streams(before + start + BLOCK + TEXT, STOP_BLOCK, DELTA, STOP) << starts()
    await (playbook << completes(before + renamed + BLOCK + TEXT + STOP_BLOCK + DELTA + STOP)).play()


async def test_a_message_may_show_the_requested_model() -> None:
    message = {"id": "m", "model": "claude-x", "content": [], "stop_reason": "end_turn", "usage": {"input_tokens": 1}}
    for reply_model, shown in [("requested", "chat"), ("upstream", "claude-x")]:
        options = Options(reply_model=reply_model)  # type: ignore[arg-type]
        await (
            messages(stream=False, options=options) << calls("a") >> replies(message, request_id="req_u")
            << responds(message | {"model": shown}, request_id="req_u", x_request_id="req_1")
        ).play()  # fmt: skip


# Refused betas


@pytest.mark.parametrize("max_attempts", [1, 4])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_beta_is_left_out_once(max_attempts: int, stream: bool) -> None:
    """With retries off too."""
    world = await (
        messages(stream=stream, headers=headers(anthropic_beta=f"effort-2025-11-24,{BETA}"), max_attempts=max_attempts)
        << calls("a") >> replies(REFUSAL, 400) << calls("a") >> head() >> streams(STREAM) << anything() << settled("ok")
    ).play()  # fmt: skip
    assert [sent_betas(world, index) for index in (0, 1)] == [
        [f"effort-2025-11-24,{BETA}".encode()],
        [b"effort-2025-11-24"],
    ]
    assert world.record.notices[0].field == f"anthropic-beta.{BETA}"


async def test_refused_twice_it_is_the_clients_error_in_the_upstreams_words() -> None:
    def check(world: World) -> None:
        error = world.effects[0].error  # type: ignore[union-attr]
        response = ANTHROPIC_MESSAGES.error(error, "req_1")  # type: ignore[arg-type]
        assert (response.status, json.loads(response.body)) == (400, REFUSAL)

    await (
        messages(headers=headers(anthropic_beta=BETA)) << calls("a") >> replies(REFUSAL, 400) << calls("a")
        >> replies(REFUSAL, 400) << check << fails("beta_refused") << settled("client_error")
    ).play()  # fmt: skip


async def test_another_beta_than_the_requests_is_not_repaired() -> None:
    await (
        messages(headers=headers(anthropic_beta="effort-2025-11-24"))
        << calls("a")
        >> replies(REFUSAL, 400)
        << fails("beta_refused")
    ).play()


async def test_a_refusal_is_remembered_for_the_location() -> None:
    refusals, asked = Refusals(loop_time), headers(anthropic_beta=BETA)
    refusals.add("us-east5", [BETA])
    for where, expected in [((A,), []), ((B,), [BETA.encode()])]:
        playbook = messages(headers=asked, refusals=refusals, deployments=where)
        world = await (playbook << calls(where[0].id) >> head() >> streams(STREAM) << anything()).play()
        assert sent_betas(world, 0) == expected


# Signatures


async def test_a_signature_error_is_relayed_where_there_is_no_other_model() -> None:
    def check(world: World) -> None:
        response = ANTHROPIC_MESSAGES.error(world.effects[0].error, "req_1")  # type: ignore[arg-type, union-attr]
        assert (response.status, json.loads(response.body)) == (400, SIGNATURE)

    world = await (
        messages(deployments=(A, B), request={"messages": HISTORY}) << calls_any()
        >> replies(SIGNATURE, 400) << check << fails("thinking_refused") << settled("client_error")
    ).play()  # fmt: skip
    assert len(world.upstream.calls) == 1


def calls_any() -> Any:
    return lambda world: world.effects.clear()


async def test_on_a_route_with_fallbacks_it_is_repaired_once() -> None:
    world = await (
        messages(deployments=(A, FALLBACK), request={"messages": HISTORY}, max_attempts=1) << calls("a")
        >> replies(SIGNATURE, 400) << calls("a") >> head() >> streams(STREAM) << anything() << settled("ok")
    ).play()  # fmt: skip
    assert world.upstream.body(0)["messages"] == HISTORY
    assert world.upstream.body(1)["messages"][1]["content"] == [{"type": "text", "text": "Hello."}]
    assert len(world.upstream.calls) == 2


# How many attempts


@pytest.mark.parametrize(("count", "attempts"), [(b"0", 4), (b"1", 2), (b"2", 2)])
async def test_a_request_that_the_sdk_repeats_gets_two_attempts(count: bytes, attempts: int) -> None:
    four = [deployment(id, order, location=id) for order, id in enumerate("abcd")]
    playbook = messages(deployments=four, headers=[(b"x-stainless-retry-count", count)])
    for _ in range(attempts - 1):
        playbook = playbook << calls_any() >> replies(OVERLOADED, 529)
    world = await (playbook << calls_any() >> replies(OVERLOADED, 529) << fails("overloaded")).play()
    assert len(world.upstream.calls) == attempts


# The location in the client's URL


def at(location: str, dialect: Any = VERTEX_RAW, **setting: Any) -> Playbook:
    return messages(stream=False, dialect=dialect, path_params={"model": "chat", "location": location}, **setting)


async def test_a_location_outside_the_geography_is_noticed_or_refused() -> None:
    message = {"id": "m", "content": [], "usage": {}}
    for location, notices in [("us-east5", []), ("europe-west1", ["location"])]:
        world = await (at(location, geographies=("us",)) << calls("a") >> replies(message) << anything()).play()
        assert [notice.field for notice in world.record.notices] == notices
    options = Options(strict_location=True)
    await (at("europe-west1", geographies=("us",), options=options) << fails("bad_request", "'europe-west1'")).play()
    await (at("us-east5", geographies=("us",), options=options) << calls("a") >> replies(message) << anything()).play()


async def test_strict_mode_rejects_what_would_be_dropped() -> None:
    await (messages(strict=True, request={"service_tier": "auto"}) << fails("bad_request", "service_tier")).play()


async def test_a_folded_reply_has_every_field_of_the_stream() -> None:
    def check(world: World) -> None:
        (response,) = world.effects
        assert isinstance(response, Responded)
        assert json.loads(response.body)["usage"] == {"input_tokens": 7, "output_tokens": 3}
        world.effects.clear()

    await (messages(stream=False) << calls("a") >> head() >> streams(STREAM) << check << settled("ok")).play()
