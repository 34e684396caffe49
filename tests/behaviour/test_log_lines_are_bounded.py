"""Risk: the log grows with what clients send, with the length of streams, or slows down as files grow."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelmux.errors import UpstreamUnreachable
from modelmux.telemetry.log_files import LogFiles
from support.fakes import error_reply, event, message_reply, stream_reply, text_events
from support.gateway import PATH, ask
from support.security import BEARER, guarded, send


async def test_g64_log_lines_have_a_maximum_size() -> None:
    long = "x" * 1_000_000
    fault = error_reply(400, {"type": "error", "error": {"type": "invalid_request_error", "message": long}})
    subject = guarded(fault, message_reply(), UpstreamUnreachable(long[:10_000], detail=long[:10_000]),
                      retries={"max": 0})  # fmt: skip
    many = {f"field_{number}_{'y' * 500}": 1 for number in range(500)}
    for body in (ask(), ask(**many), ask(), ask() | {"model": long}, ask(user=long)):
        headers = [*BEARER, (b"user-agent", long[:30_000].encode()), (b"x-request-id", b"z" * 128)]
        await send(subject.app, "POST", PATH, headers, json.dumps(body).encode())
    lines = subject.out.getvalue().splitlines()
    assert len(lines) >= 5
    assert max(map(len, lines)) < 32_000


def test_g65_a_log_file_is_opened_once_and_only_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    real = os.open

    def spy(path: Any, *arguments: Any, **more: Any) -> int:
        opened.append(path)
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", spy)
    files = LogFiles(tmp_path / "logs", 30, lambda problem: pytest.fail(problem))
    for number in range(1000):
        files.write(f'{{"n":{number}}}')
    files.close()
    assert len(opened) == 1, "lines are appended to a file that is open; nothing is read"


async def test_g66_a_stream_logs_no_line_for_each_event() -> None:
    strange = [event("quantum_leap", index=0) for _ in range(200)]
    strange += [event("content_block_start", index=9, content_block={"type": f"hologram_{n}"}) for n in range(200)]
    pieces = text_events(*["word "] * 200)
    subject = guarded(stream_reply(*pieces[:3], *strange, *pieces[3:]))
    response = await send(subject.app, "POST", PATH, BEARER, json.dumps(ask(stream=True)).encode())
    assert response.body.endswith(b"data: [DONE]\n\n")
    assert len(subject.events) <= 2


@pytest.mark.parametrize("stream", [False, True])
async def test_g76_the_request_line_has_the_sizes(stream: bool) -> None:
    reply = stream_reply(*text_events("Hello")) if stream else message_reply("Hello")
    subject = guarded(reply)
    body = json.dumps(ask("x" * 5000, stream=stream)).encode()
    response = await send(subject.app, "POST", PATH, BEARER, body)
    refused = await send(subject.app, "POST", PATH, BEARER, b"[" * 777)
    assert (response.status, refused.status) == (200, 400)
    lines = [event for event in subject.events if event["event"] == "request"]
    assert [line["request_bytes"] for line in lines] == [len(body), 777]
    assert lines[0]["response_bytes"] == len(response.body)
