"""Every way an exchange ends. Risk: a client that waits for ever, gets two ends or none; a request that is settled
twice or never, or with a wrong outcome."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.error_kinds import KINDS
from modelmux.errors import CredentialsUnavailable, GatewayOverloaded, RequestTimeout, UpstreamBroken
from modelmux.gateway.client_stream import ClientDisconnected
from support.dialects import TINY_HUB, TINY_NATIVE, named
from support.exchange_world import RecordingGate, World
from support.fakes import FakeTokens, text_events
from support.playbook import (
    Playbook,
    anything,
    breaks,
    calls,
    cancel,
    closes,
    ends,
    fails,
    gets,
    head,
    keep_alive,
    leaves,
    not_settled,
    pause,
    raises,
    reads_again,
    refuses,
    replies,
    sends,
    settled,
    shutdown,
    starts,
    stops_reading,
)

pytestmark = pytest.mark.virtual_time
START, PING, BLOCK, TEXT, *END = text_events("Hel")
BEFORE_CONTENT = (START, PING, BLOCK)
BEGIN = named("begin", id="0" * 32) + named("text", text="Hel")
SIGN = b": idle for 15 s\n\n"
MESSAGE = {"type": "message", "content": [{"type": "text", "text": "Hello!"}], "stop_reason": "end_turn"}
INVALID = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt: too odd"}}
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'


def failed(kind: str) -> bytes:
    return named("failed", kind=kind)


def hub(**setting: Any) -> Playbook:
    """One attempt only: what ends an exchange is not retried away."""
    return Playbook(TINY_HUB, max_attempts=1, **setting)


def committed(**setting: Any) -> Playbook:
    """A stream whose first content was sent."""
    return (
        hub(**setting) << calls("a") >> head() >> sends(*BEFORE_CONTENT, TEXT) << starts() << gets(BEGIN)
    )  # fmt: skip


def errors_sent(world: World) -> list[str]:
    return [error.kind.name for error in world.observer.errors]


# An error before anything was sent goes to the server


async def test_a_request_error_is_raised_before_the_head() -> None:
    world = await (hub(body=RequestTimeout("late")) << fails("request_timeout") << settled("client_error")).play()
    assert errors_sent(world) == [], "the server counts what it sends itself"
    assert (world.client.started, world.record.stream, world.record.refused) == (False, False, True)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_upstream_error_before_content_is_raised_before_the_head(stream: bool) -> None:
    world = await (
        hub(stream=stream) << calls("a") >> replies(INVALID, 400)
        << fails("invalid_request", "prompt: too odd") << settled("client_error", stop_reason="attempts_exhausted")
    ).play()  # fmt: skip
    assert (errors_sent(world), world.client.started, world.record.refused) == ([], False, False)


async def test_an_error_event_before_content_is_raised_before_the_head() -> None:
    await (
        hub() << calls("a") >> head() >> sends(*BEFORE_CONTENT, OVERLOADED)
        << fails("overloaded") << settled("upstream_error")
    ).play()  # fmt: skip


async def test_an_error_without_an_attempt_is_raised() -> None:
    class NoTokens(FakeTokens):
        async def token(self) -> str:
            raise CredentialsUnavailable("none")

    await (hub(tokens=NoTokens()) << fails("credentials") << settled("gateway_error", attempts=[])).play()


# Once keep-alives have started the stream, it is sent in-band


async def test_a_request_error_after_keep_alives_is_in_band() -> None:
    world = await (
        hub(gate=RecordingGate()) << calls("a") >> keep_alive() << starts(x_request_id="req_1") << gets(SIGN)
        >> replies(INVALID, 400) << ends(failed("invalid_request")) << settled("client_error")
    ).play()  # fmt: skip
    assert errors_sent(world) == ["invalid_request"], "an error in-band is counted"


async def test_an_error_before_the_first_attempt_is_in_band_while_the_first_keep_alive_waits() -> None:
    class SlowTokens(FakeTokens):
        async def token(self) -> str:
            await asyncio.sleep(60)
            raise CredentialsUnavailable("none")

    await (
        hub(tokens=SlowTokens()) << not_settled() >> stops_reading() >> keep_alive() << starts() >> pause(61)
        << ends(failed("credentials")) >> reads_again() << settled("gateway_error", attempts=[])
    ).play()  # fmt: skip


async def test_an_upstream_error_after_keep_alives_is_in_band() -> None:
    world = await (
        hub() << calls("a") >> keep_alive() << starts() << gets(SIGN)
        >> keep_alive(30.0) << gets(b": idle for 30 s\n\n")
        >> head() >> sends(*BEFORE_CONTENT) >> breaks(UpstreamBroken("cut", reply_started=True))
        << ends(failed("broken")) << settled("upstream_error")
    ).play()  # fmt: skip
    assert errors_sent(world) == ["broken"]


async def test_after_keep_alives_the_head_names_no_deployment_and_is_sent_once() -> None:
    world = await (
        hub() << calls("a") >> keep_alive() << starts(x_modelmux_model="claude-sonnet-4-6") << gets(SIGN)
        >> head() >> sends(*BEFORE_CONTENT, TEXT) << gets(BEGIN)
        >> keep_alive() << gets(SIGN)
        >> sends(*END) << ends(named("end", stop="end_turn")) << settled("ok") >> closes()
    ).play()  # fmt: skip
    assert not world.client.keeps_alive


async def test_before_a_gate_admits_a_request_no_keep_alive_starts_its_stream() -> None:
    await (
        hub(gate=RecordingGate(is_open=False)) << not_settled() >> keep_alive() << not_settled()
        >> leaves() << settled("client_gone", status=499)
    ).play()  # fmt: skip


async def test_a_client_of_json_gets_no_keep_alive() -> None:
    await (
        hub(stream=False) << calls("a") >> keep_alive() << not_settled() >> leaves()
        << settled("client_gone", status=499)
    ).play()  # fmt: skip


async def test_keep_alives_can_be_off() -> None:
    await (
        hub(keep_alive_interval=0.0) << calls("a") >> keep_alive() << not_settled()
        >> leaves() << settled("client_gone", status=499)
    ).play()  # fmt: skip


# After content it is sent in-band, behind everything before it


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (breaks(UpstreamBroken("cut", reply_started=True)), "broken"),
        (closes(), "broken"),
        (sends(OVERLOADED), "overloaded"),
        (sends(b"event: x\ndata: {]\n\n"), "broken"),
    ],
    ids=["broken", "ended early", "error event", "unreadable event"],
)
async def test_an_upstream_error_after_content_is_in_band(step: Any, kind: str) -> None:
    world = await (committed() >> step << ends(failed(kind)) << settled("upstream_error")).play()
    assert errors_sent(world) == [kind]
    (attempt,) = world.record.attempts
    assert attempt.error is world.record.error


async def test_content_in_the_same_read_as_an_error_is_sent_before_it() -> None:
    await (
        hub() << calls("a") >> head() >> sends(b"".join([*BEFORE_CONTENT, TEXT, OVERLOADED]))
        << starts() << gets(BEGIN) << ends(failed("overloaded")) << settled("upstream_error")
    ).play()  # fmt: skip


async def test_nothing_after_the_end_of_the_message_changes_its_end() -> None:
    await (
        committed() >> sends(b"".join([*END, OVERLOADED])) << ends(named("end", stop="end_turn")) << settled("ok")
        >> pause(1)
    ).play()  # fmt: skip


# The client leaves


async def test_a_client_that_leaves_while_sending_its_body_is_settled() -> None:
    world = await (
        hub(body=ClientDisconnected()) << settled("client_gone", status=499, route=None, request_bytes=0)
    ).play()
    assert world.upstream.calls == []


async def test_a_client_that_leaves_at_the_gate() -> None:
    gate = RecordingGate(is_open=False)
    await (hub(gate=gate) << not_settled() >> leaves() << settled("client_gone", status=499, attempts=[])).play()


async def test_a_client_that_leaves_before_the_upstream_replies() -> None:
    world = await (hub() << calls("a") >> leaves() << settled("client_gone", status=499, error=None)).play()
    (attempt,) = world.record.attempts
    assert (attempt.error, attempt.usage) == (None, None)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_before_content(stream: bool) -> None:
    sent = sends(*BEFORE_CONTENT) if stream else sends(b'{"type":')
    content_type = "text/event-stream" if stream else "application/json"
    world = await (
        hub(stream=stream) << calls("a") >> head(content_type=content_type) >> sent
        >> leaves() << settled("client_gone", status=499)
    ).play()  # fmt: skip
    usage = world.record.usage
    assert (usage.input_tokens if usage else None) == (7 if stream else None), "what was used is recorded"


async def test_a_client_that_leaves_during_keep_alives() -> None:
    await (
        hub() << calls("a") >> keep_alive() << starts() << gets(SIGN) >> leaves() << settled("client_gone", status=499)
    ).play()


async def test_a_client_that_leaves_after_content() -> None:
    world = await (committed() >> leaves() << settled("client_gone", status=499, error=None)).play()
    assert world.record.usage is not None
    assert world.record.usage.input_tokens == 7
    assert world.record.time_to_first_token == pytest.approx(0, abs=0.01)


async def test_a_client_that_leaves_while_it_does_not_read() -> None:
    await (committed() >> stops_reading() >> sends(*END[:1]) >> leaves() << settled("client_gone", status=499)).play()
    await (
        hub() << calls("a") >> stops_reading() >> head() >> sends(*BEFORE_CONTENT, TEXT) << starts()
        >> leaves() << settled("client_gone", status=499)
    ).play()  # fmt: skip


async def test_a_client_that_leaves_during_a_pause_between_attempts() -> None:
    world = await (
        Playbook(TINY_HUB) << calls("a") >> refuses(UpstreamBroken("cut", reply_started=False))
        << not_settled() >> leaves() << settled("client_gone", status=499)
    ).play()  # fmt: skip
    assert [attempt.error.kind.name for attempt in world.record.attempts if attempt.error] == ["broken"]


async def test_another_error_of_the_socket_is_a_client_that_left() -> None:
    class Lost(ConnectionResetError):
        pass

    await (hub(body=Lost("reset")) << settled("client_gone", status=499)).play()


# The deadline


async def test_the_deadline_before_the_head() -> None:
    await (
        hub(timeout=60.0) << calls("a") >> pause(59) << not_settled() >> pause(1)
        << fails("deadline") << settled("upstream_error")
    ).play()  # fmt: skip


async def test_the_deadline_after_content() -> None:
    await (committed(timeout=60.0) >> pause(60) << ends(failed("deadline")) << settled("upstream_error")).play()


# The process ends, or something else cancels


async def test_shutdown_before_the_head_is_an_error_response() -> None:
    await (hub() << calls("a") >> shutdown() << fails("gateway_draining") << settled("drained")).play()
    await (hub(stream=False) << calls("a") >> shutdown() << fails("gateway_draining") << settled("drained")).play()


async def test_shutdown_during_keep_alives_is_in_band() -> None:
    await (
        hub() << calls("a") >> keep_alive() << starts() << gets(SIGN) >> shutdown()
        << ends(failed("gateway_draining")) << settled("drained")
    ).play()  # fmt: skip


@pytest.mark.parametrize(("dialect", "early", "end"), [
    (TINY_HUB, BEGIN, failed("gateway_draining")),
    (TINY_NATIVE, b"".join([*BEFORE_CONTENT, TEXT]),
     named("error", type="error", error={"type": KINDS["gateway_draining"].anthropic_type}, number=1)),
], ids=["hub", "native"])  # fmt: skip
async def test_shutdown_after_content_is_in_band(dialect: Any, early: bytes, end: bytes) -> None:
    world = await (
        Playbook(dialect) << calls("a") >> head() >> sends(b"".join([*BEFORE_CONTENT, TEXT])) << starts() << gets(early)
        >> shutdown() << ends(end) << settled("drained")
    ).play()  # fmt: skip
    assert errors_sent(world) == ["gateway_draining"]
    assert world.task is not None
    assert not world.task.cancelling(), "the request goes on to its end"


async def test_shutdown_of_a_client_that_has_left_is_not_told_to_it() -> None:
    await (
        committed()
        >> stops_reading()
        >> sends(*END[:2])
        >> leaves()
        >> shutdown()
        << settled("client_gone", status=499)
    ).play()


async def test_a_shutdown_while_a_client_does_not_read_ends_its_stream() -> None:
    text = text_events("lo")[3]
    world = await (
        committed() >> stops_reading() >> sends(text) << gets(named("text", text="lo")) >> shutdown()
        << ends(failed("gateway_draining")) << settled("drained") >> leaves() >> pause(1)
    ).play()  # fmt: skip
    assert world.over


@pytest.mark.parametrize("interruption", [shutdown(), pause(60)], ids=["shutdown", "deadline"])
async def test_a_response_that_was_sent_completely_is_a_success_though_its_client_reads_slowly(
    interruption: Any,
) -> None:
    playbooks = [
        committed(timeout=60.0) >> stops_reading() >> sends(b"".join(END)) << ends(named("end", stop="end_turn")),
        hub(stream=False, timeout=60.0) << calls("a") >> stops_reading() >> replies(MESSAGE) << anything(),
    ]
    for playbook in playbooks:
        world = await (playbook >> interruption << settled("ok", error=None) >> pause(1)).play()
        assert errors_sent(world) == []
        assert world.record.attempts[0].error is None


async def test_a_cancellation_by_something_else_is_passed_on() -> None:
    for playbook in (hub() << calls("a"), committed()):
        world = await (
            playbook >> cancel() << raises(asyncio.CancelledError) << settled("client_gone", status=499)
        ).play()
        assert errors_sent(world) == []


async def test_a_client_that_leaves_while_something_else_cancels() -> None:
    def both(world: World) -> None:
        leaves()(world)
        cancel()(world)

    await (hub() << calls("a") >> both << raises(asyncio.CancelledError) << settled("client_gone", status=499)).play()


# A fault of the gateway


async def test_an_unexpected_exception_before_the_head_goes_to_the_server() -> None:
    world = await (
        hub() << calls("a") >> refuses(ZeroDivisionError()) << raises(ZeroDivisionError) << settled("gateway_error")
    ).play()
    assert world.record.error is not None
    assert (world.record.error.kind.name, world.log.lines) == ("internal", []), "the server logs it"


async def test_an_unexpected_exception_after_the_head_is_in_band_and_logged() -> None:
    world = await (
        committed() >> breaks(ZeroDivisionError("secret")) << ends(failed("internal")) << settled("gateway_error")
    ).play()
    ((event, fields),) = world.log.lines
    assert (event, fields["request_id"]) == ("internal_error", "req_1")
    assert "ZeroDivisionError" in fields["traceback"]
    assert "secret" not in str(fields)
    assert errors_sent(world) == ["internal"]


async def test_an_unexpected_exception_after_keep_alives_is_in_band_and_logged() -> None:
    world = await (
        hub() << calls("a") >> keep_alive() << starts() << gets(SIGN) >> refuses(ZeroDivisionError())
        << ends(failed("internal")) << settled("gateway_error")
    ).play()  # fmt: skip
    assert [event for event, _ in world.log.lines] == ["internal_error"]


async def test_a_fault_after_the_end_of_the_response_is_only_logged() -> None:
    world = await (
        committed() >> sends(*END) << ends(named("end", stop="end_turn")) >> breaks(ZeroDivisionError())
        << settled("ok", error=None)
    ).play()  # fmt: skip
    assert [event for event, _ in world.log.lines] == ["internal_error"]


# What is settled


async def test_bytes_and_times_are_those_of_the_exchange() -> None:
    world = await (
        hub() << calls("a") >> pause(2) >> head() >> sends(*BEFORE_CONTENT, TEXT) << starts() << gets(BEGIN)
        >> pause(3) >> sends(*END) << ends(named("end", stop="end_turn")) << settled("ok") >> closes()
    ).play()  # fmt: skip
    record = world.record
    assert record.time_to_first_token == pytest.approx(2, abs=0.01)
    assert record.duration == pytest.approx(5, abs=0.01)
    assert record.request_bytes == len(b'{"model": "chat", "stream": true, "prompt": "Hi"}')
    assert record.response_bytes == len(BEGIN + named("end", stop="end_turn"))
    assert (record.dialect, record.operation, record.request_id) == ("tiny_hub", "generate", "req_1")


async def test_an_overloaded_gateway_is_its_own_fault() -> None:
    await (
        hub(gate=RecordingGate(GatewayOverloaded("full"))) << fails("gateway_overloaded") << settled("gateway_error")
    ).play()
