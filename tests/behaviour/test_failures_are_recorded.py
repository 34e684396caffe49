"""Risk: a failure that an operator cannot find: why there was no further attempt, errors inside streams, calls outside
the geography, tokens of attempts that failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.fakes import error_reply, event, message_reply, stream_reply, text_events
from support.gateway import PATH, ask
from support.security import BEARER, Guarded, guarded, send

INVALID = error_reply(400, {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}})
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
TWO = {
    "models": [{
        "name": "chat", "model": "claude-sonnet-4-6",
        "deployments": [{"location": "us-east5"}, {"location": "europe-west1", "order": 1}],
    }],
}  # fmt: skip


async def answer(subject: Guarded, **fields: Any) -> Any:
    return await send(subject.app, "POST", PATH, BEARER, json.dumps(ask(**fields)).encode())


def request_line(subject: Guarded) -> dict[str, Any]:
    (line,) = [line for line in subject.events if line["event"] == "request"]
    return line


@pytest.mark.parametrize(
    ("replies", "settings", "reason"),
    [
        (
            [error_reply(400, {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}})],
            {},
            "not_retryable",
        ),
        ([error_reply(503, {})] * 2, {"retries": {"max": 1}}, "attempts_exhausted"),
    ],
)
async def test_why_there_was_no_further_attempt_is_logged(
    replies: list[Any], settings: dict[str, Any], reason: str, no_waiting: list[float]
) -> None:
    subject = guarded(*replies, **settings)
    assert (await answer(subject)).status >= 400
    assert request_line(subject)["retry_stopped"] == reason


async def test_a_request_that_succeeds_after_a_failure_has_no_such_reason(no_waiting: list[float]) -> None:
    subject = guarded(error_reply(503, {}), message_reply())
    assert (await answer(subject)).status == 200
    assert "retry_stopped" not in request_line(subject)


@pytest.mark.parametrize("end", [OVERLOADED, b""], ids=["error event", "cut off"])
async def test_an_error_inside_a_stream_is_counted(end: bytes) -> None:
    subject = guarded(stream_reply(b"".join(text_events("Hi")[:4]) + end))
    response = await answer(subject, stream=True)
    assert (response.status, "error" in response.events()[-1]) == (200, True)
    line = request_line(subject)
    status, code = ("503", "overloaded") if end else ("502", "upstream_broken")
    assert (line["outcome"], str(line["status"]), line["code"]) == ("upstream_error", status, code)
    assert subject.metric("modelmux_error_responses_total", status=status, code=code) == 1


async def test_an_error_response_is_counted_once(no_waiting: list[float]) -> None:
    subject = guarded(error_reply(503, {}), retries={"max": 0})
    assert (await answer(subject)).status == 503
    assert subject.metric("modelmux_error_responses_total", status="503", code="overloaded") == 1


async def test_a_call_outside_the_geography_is_refused_whatever_the_configuration_let_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modelmux.config.routes.violations", lambda _: iter(()))
    vertex = {"models": [{"name": "chat", "model": "claude-sonnet-4-6", "location": "us-east5", "geography": "eu"}]}
    subject = guarded(message_reply(), vertex=vertex)
    response = await answer(subject, model="chat")
    assert (response.status, response.json()["error"]["code"]) == (500, "outside_geography")
    assert response.headers["x-should-retry"] == "false"
    assert subject.upstream.calls == []
    assert request_line(subject)["outcome"] == "gateway_error"


async def test_tokens_of_a_failed_attempt_are_counted(no_waiting: list[float]) -> None:
    start = event("message_start", message={"type": "message", "content": [], "usage": {"input_tokens": 100}})
    subject = guarded(stream_reply(start + OVERLOADED), stream_reply(*text_events("Hi")), vertex=TWO)
    assert (await answer(subject, model="chat", stream=True)).status == 200
    line = request_line(subject)
    assert (line["attempts"], line["input_tokens"], line["output_tokens"]) == (2, 107, 3)
    assert subject.metric("modelmux_tokens_total", route="chat", type="input") == 107
