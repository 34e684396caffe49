"""Risk: a failure that another attempt would have cured reaches the client, an attempt after the client has content,
tokens of a failed attempt that are not counted, a call that leaves the geography, thinking shown to another model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modelmux.claude.limits import LONG_REPLY_TOKENS
from modelmux.errors import CredentialsUnavailable, GatewayError, UpstreamBroken, UpstreamUnreachable
from modelmux.wire.http import Timeouts
from support.dialects import TINY_HUB, TINY_NATIVE, named
from support.exchange_world import OTHER_CARD, A, B, World, deployment
from support.fakes import FakeTokens, event, text_events
from support.playbook import (
    Playbook,
    anything,
    breaks,
    calls,
    closes,
    completes,
    fails,
    gets,
    head,
    leaves,
    not_settled,
    pause,
    refuses,
    replies,
    responds,
    sends,
    settled,
    starts,
    streams,
)

pytestmark = pytest.mark.virtual_time
START, PING, BLOCK, TEXT, *END = text_events("Hel")
BEFORE_CONTENT = (START, PING, BLOCK)
ALL = b"".join([*BEFORE_CONTENT, TEXT, *END])
ID = "0" * 32
HUB_STREAM = named("begin", id=ID) + named("text", text="Hel") + named("end", stop="end_turn")
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
CUT = UpstreamBroken("cut", reply_started=True)
DOWN = UpstreamUnreachable("no route")
MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hello!"}],
    "stop_reason": "end_turn", "usage": {"input_tokens": 7, "output_tokens": 3},
}  # fmt: skip
ANSWER = {"id": ID, "text": "Hello!", "stop": "end_turn"}


def refusal(type: str, message: str = "no") -> dict[str, Any]:
    return {"type": "error", "error": {"type": type, "message": message}}


def hub(**setting: Any) -> Playbook:
    return Playbook(TINY_HUB, deployments=(A, B), **setting)


def succeeds(playbook: Playbook, deployment: str) -> Playbook:
    """The rest of a script: this attempt gives the reply."""
    return (
        playbook << calls(deployment) >> head() >> streams(ALL)
        << starts(x_modelmux_deployment=deployment) << completes(HUB_STREAM) << settled("ok", error=None)
    )  # fmt: skip


def errors(world: World) -> list[str | None]:
    return [attempt.error.kind.name if attempt.error else None for attempt in world.record.attempts]


# Failures before content


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (refuses(DOWN), "unreachable"),
        (replies(refusal("overloaded_error"), 529), "overloaded"),
        (replies(refusal("rate_limit_error"), 429), "rate_limit"),
        (replies("<html>", 502), "server_error"),
    ],
    ids=["no connection", "529", "429", "502"],
)
@pytest.mark.parametrize("dialect", [TINY_HUB, TINY_NATIVE], ids=lambda dialect: dialect.name)
async def test_another_deployment_is_tried_at_once(dialect: Any, event: Any, kind: str) -> None:
    world = await (
        Playbook(dialect, deployments=(A, B)) << calls("a") >> event << calls("b") >> head() >> sends(ALL)
        << starts(x_modelmux_deployment="b", x_modelmux_attempts="2") << anything() << settled("ok") >> closes()
    ).play()  # fmt: skip
    assert errors(world) == [kind, None]
    assert [attempt.is_retry for attempt in world.record.attempts] == [False, True]
    assert world.observer.attempts == world.record.attempts, "each was reported, in order"


@pytest.mark.parametrize(
    "fail",
    [
        lambda p: p >> breaks(CUT),
        lambda p: p >> closes(),
        lambda p: p >> sends(OVERLOADED),
        lambda p: p >> sends(b"data: {]\n\n"),
    ],
    ids=["broken", "ended early", "error event", "unreadable event"],
)
@pytest.mark.parametrize("dialect", [TINY_HUB, TINY_NATIVE], ids=lambda dialect: dialect.name)
async def test_a_stream_that_fails_before_content_is_retried_and_nothing_of_it_is_sent(
    dialect: Any, fail: Callable[[Playbook], Playbook]
) -> None:
    begun = Playbook(dialect, deployments=(A, B)) << calls("a") >> head() >> sends(*BEFORE_CONTENT) << not_settled()
    expected = HUB_STREAM if dialect is TINY_HUB else ALL

    world = await (fail(begun) << calls("b") >> head() >> streams(ALL) << starts() << completes(expected)).play()
    assert len(world.record.attempts) == 2


async def test_tokens_of_a_failed_attempt_are_counted() -> None:
    """Each attempt has a record of its own; the exchange's usage is the sum."""
    usage = {"input_tokens": 7, "output_tokens": 1}
    start = event("message_start", message={"type": "message", "content": [], "usage": usage | {"input_tokens": 100}})
    world = await succeeds(
        hub() << calls("a") >> head(request_id="one") >> sends(start) >> sends(OVERLOADED), "b"
    ).play()
    assert [(a.usage and a.usage.input_tokens, a.usage and a.usage.output_tokens) for a in world.record.attempts] == [
        (100, 1), (7, 3),
    ]  # fmt: skip
    assert world.record.usage is not None
    assert (world.record.usage.input_tokens, world.record.usage.output_tokens) == (107, 4)
    assert world.record.upstream_request_id == "one", "of the last attempt that has one"


async def test_tokens_of_a_failed_fold_are_counted() -> None:
    world = await (
        hub(stream=False, request={"max_tokens": LONG_REPLY_TOKENS + 1})
        << calls("a") >> head() >> sends(START, BLOCK, TEXT) >> breaks(CUT)
        << calls("b") >> replies(MESSAGE) << responds(ANSWER) << settled("ok")
    ).play()  # fmt: skip
    assert [a.usage and a.usage.input_tokens for a in world.record.attempts] == [7, 7]


async def test_unknown_types_of_every_attempt_are_recorded() -> None:
    unknown = event("tidings", text="?")
    world = await (
        succeeds(hub() << calls("a") >> head() >> sends(START, unknown) >> breaks(CUT), "b")
    ).play()  # fmt: skip
    assert [attempt.unknown_types for attempt in world.record.attempts] == [{"event:tidings"}, set()]


# Why there is no further attempt


@pytest.mark.parametrize(
    ("setting", "event", "reason"),
    [
        ({}, replies(refusal("invalid_request_error"), 400), "not_retryable"),
        ({"max_attempts": 1}, refuses(DOWN), "attempts_exhausted"),
        ({"deployments": (A,)}, replies(refusal("rate_limit_error"), 429, retry_after="99"), "retry_after_too_long"),
        ({"deployments": (A,), "timeout": 0.2}, refuses(DOWN), "deadline"),
    ],
)
async def test_the_reason_why_retrying_stopped_is_recorded(setting: dict[str, Any], event: Any, reason: str) -> None:
    playbook = Playbook(TINY_HUB, **({"deployments": (A, B)} | setting)) << calls("a") >> event << _any_error
    await (
        playbook << settled("client_error" if reason == "not_retryable" else "upstream_error", stop_reason=reason)
    ).play()


def _any_error(world: World) -> None:
    assert isinstance(world.effects.pop(0).error, GatewayError)  # type: ignore[union-attr]


async def test_attempts_end_with_the_last_ones_error() -> None:
    world = await (
        hub(max_attempts=3) << calls("a") >> refuses(DOWN) << calls("b") >> replies(refusal("overloaded_error"), 529)
        << not_settled() >> pause(8) << anything() >> refuses(CUT)
        << fails("broken") << settled("upstream_error", stop_reason="attempts_exhausted")
    ).play()  # fmt: skip
    assert errors(world) == ["unreachable", "overloaded", "broken"]


async def test_the_wait_that_an_upstream_asks_for_is_kept() -> None:
    await succeeds(
        Playbook(TINY_HUB) << calls("a") >> replies(refusal("rate_limit_error"), 429, retry_after="7")
        >> pause(7.2) << not_settled() >> pause(0.1), "a",  # and half of the 0.5 s at most that are added
    ).play()  # fmt: skip


# What the gateway repairs itself


async def test_a_rejected_token_is_renewed_once() -> None:
    world = await succeeds(
        hub() << calls("a") >> replies(refusal("authentication_error"), 401), "a"
    ).play()  # fmt: skip
    headers = [dict(call.headers)[b"authorization"] for call in world.upstream.calls]
    assert headers == [b"Bearer token-1", b"Bearer token-2"]
    await (
        hub() << calls("a") >> replies(refusal("authentication_error"), 401)
        << calls("a") >> replies(refusal("authentication_error"), 401) << fails("unauthenticated")
        << settled("upstream_error")
    ).play()  # fmt: skip


async def test_a_token_that_cannot_be_renewed_ends_the_request() -> None:
    class Once(FakeTokens):
        async def renew(self, rejected: str) -> str:
            raise CredentialsUnavailable(f"no token but {rejected}")

    await (
        hub(tokens=Once()) << calls("a") >> replies(refusal("authentication_error"), 401)
        << fails("credentials") << settled("gateway_error")
    ).play()  # fmt: skip


# Content commits


@pytest.mark.parametrize("dialect", [TINY_HUB, TINY_NATIVE], ids=lambda dialect: dialect.name)
async def test_there_is_no_second_attempt_after_content(dialect: Any) -> None:
    world = await (
        Playbook(dialect, deployments=(A, B)) << calls("a") >> head() >> sends(*BEFORE_CONTENT, TEXT) << starts()
        << anything()
        >> breaks(CUT) << anything() << settled("upstream_error", stop_reason=None)
    ).play()  # fmt: skip
    assert errors(world) == ["broken"]
    assert world.observer.attempts == world.record.attempts


# Replies in another form than was asked for


@pytest.mark.parametrize("dialect", [TINY_HUB, TINY_NATIVE], ids=lambda dialect: dialect.name)
async def test_a_message_in_place_of_a_stream_is_streamed(dialect: Any) -> None:
    world = await (Playbook(dialect) << calls("a") >> replies(MESSAGE) << starts() << _hello << settled("ok")).play()
    assert world.record.usage is not None
    assert world.record.usage.output_tokens == 3


def _hello(world: World) -> None:
    data = b"".join(effect.data for effect in world.effects)  # type: ignore[union-attr]
    world.effects.clear()
    assert data.count(b"Hello!") == 1
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert data.endswith((named("end", stop="end_turn"), stop))


async def test_a_reply_that_is_neither_is_an_error() -> None:
    await (
        Playbook(TINY_HUB, max_attempts=1)
        << calls("a")
        >> replies(["?"])
        << fails("broken")
        << settled("upstream_error")
    ).play()


async def test_a_reply_that_pauses_is_continued_in_the_same_stream() -> None:
    paused = [*text_events("Hel")[:-2], event("message_delta", delta={"stop_reason": "pause_turn"}), END[-1]]
    world = await (
        hub(request={"continuations": 2})
        << calls("a") >> head() >> streams(b"".join(paused))
        << starts() << gets(named("begin", id=ID) + named("text", text="Hel"))
        << calls("a") >> head() >> streams(b"".join(text_events("lo")))
        << completes(named("text", text="lo") + named("end", stop="end_turn")) << settled("ok")
    ).play()  # fmt: skip
    assert [attempt.is_retry for attempt in world.record.attempts] == [False, False]
    assert world.record.usage is not None
    assert world.record.usage.input_tokens == 14
    assert world.upstream.body()["messages"][-1] == {"role": "assistant", "content": [{"type": "text", "text": "Hel"}]}


async def test_a_continuation_that_fails_is_retried_with_the_same_model_only() -> None:
    other = deployment("c", 2, card=OTHER_CARD)
    paused = [*text_events("Hel")[:-2], event("message_delta", delta={"stop_reason": "pause_turn"}), END[-1]]
    world = await (
        Playbook(TINY_HUB, deployments=(A, B, other), request={"continuations": 2}, max_attempts=3)
        << calls("a") >> head() >> streams(b"".join(paused)) << starts()
        << gets(named("begin", id=ID) + named("text", text="Hel"))
        << calls("a") >> refuses(DOWN) << calls("b") >> replies(refusal("overloaded_error"), 529)
        >> pause(8) << anything() >> head() >> streams(b"".join(text_events("lo")))
        << completes(named("text", text="lo") + named("end", stop="end_turn")) << settled("ok")
    ).play()  # fmt: skip
    assert [call.origin.host for call in world.upstream.calls].count("c.example") == 0
    assert [attempt.is_retry for attempt in world.record.attempts] == [False, False, True, True]


async def test_a_message_that_pauses_is_continued() -> None:
    paused = MESSAGE | {"stop_reason": "pause_turn", "content": [{"type": "text", "text": "Oh. "}]}
    world = await (
        hub(stream=False, request={"continuations": 1}) << calls("a") >> replies(paused)
        << calls("a") >> replies(MESSAGE) << responds({"id": ID, "text": "Oh. Hello!", "stop": "end_turn"})
        << settled("ok")
    ).play()  # fmt: skip
    assert world.record.usage is not None
    assert world.record.usage.output_tokens == 6


# Timeouts


async def test_a_deployment_without_a_first_token_in_time_is_given_up() -> None:
    world = await succeeds(
        hub(timeouts=Timeouts(first_token=5)) << calls("a") >> head() >> sends(*BEFORE_CONTENT)
        >> pause(4.9) << not_settled() >> pause(0.1), "b",
    ).play()  # fmt: skip
    assert errors(world) == ["slow_start", None]


async def test_after_the_first_token_the_timeout_is_over() -> None:
    await (
        hub(timeouts=Timeouts(first_token=5)) << calls("a") >> head() >> sends(*BEFORE_CONTENT, TEXT) << starts()
        << anything()
        >> pause(60) << not_settled() >> leaves() << settled("client_gone")
    ).play()  # fmt: skip


# Geography


@pytest.mark.parametrize("location", ["us-east5", "global", "", "nowhere"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_outside_the_geography_is_refused(location: str, stream: bool) -> None:
    """Whatever the configuration let through."""
    world = await (
        Playbook(TINY_HUB, deployments=(deployment("a", location=location),), geographies=("eu",), stream=stream)
        << fails("outside_geography") << settled("gateway_error", stop_reason="not_retryable")
    ).play()  # fmt: skip
    assert world.upstream.calls == []
    assert errors(world) == ["outside_geography"]


async def test_a_call_inside_every_geography_is_sent() -> None:
    inside = deployment("a", location="europe-west1")
    await succeeds(Playbook(TINY_HUB, deployments=(inside,), geographies=("eu", "europe")), "a").play()


async def test_without_a_geography_an_unknown_location_may_be_called() -> None:
    await succeeds(Playbook(TINY_HUB, deployments=(deployment("a", location=""),)), "a").play()


# Other models


async def test_a_model_that_is_not_found_falls_back_to_another() -> None:
    other = deployment("c", 2, card=OTHER_CARD)
    world = await (
        Playbook(TINY_HUB, deployments=(A, B, other), stream=False)
        << calls("a") >> replies(refusal("not_found_error"), 404)
        << calls("c") >> replies(MESSAGE) << responds(ANSWER, x_modelmux_model=OTHER_CARD.id) << settled("ok")
    ).play()  # fmt: skip
    assert [attempt.card.id for attempt in world.record.attempts] == [A.card.id, OTHER_CARD.id]


async def test_a_fallback_that_refuses_with_400_leaves_the_first_models_error() -> None:
    other = deployment("c", 2, card=OTHER_CARD)
    world = await (
        Playbook(TINY_HUB, deployments=(A, other), stream=False)
        << calls("a") >> replies(refusal("not_found_error", "no such model"), 404)
        << calls("c") >> replies(refusal("invalid_request_error", "not with me"), 400)
        << fails("not_found", "no such model") << settled("client_error")
    ).play()  # fmt: skip
    assert errors(world) == ["not_found", "invalid_request"]


async def test_a_conversation_stays_with_the_model_that_answered() -> None:
    other = deployment("c", 2, card=OTHER_CARD)
    world = await (
        Playbook(TINY_HUB, deployments=(A, other), stream=False)
        << calls("a") >> replies(refusal("not_found_error"), 404)
        << calls("c") >> replies(MESSAGE) << responds(ANSWER) << settled("ok")
    ).play()  # fmt: skip
    assert list(world.pool._pinned.values())[0][0] == OTHER_CARD.id  # noqa: RUF015 - no other way to see it
