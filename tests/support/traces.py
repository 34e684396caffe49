"""Records of requests, and a file of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelmux.claude.prompt_digests import PromptDigests, conversation_digest, digests_of
from modelmux.store.traces.record import Tokens, Trace, TracedAttempt, TracedRequest
from modelmux.store.traces.sqlite_traces import TracesFile, add

MODEL = "claude-sonnet-4-6"
#: 2026-11-30 03:00 UTC, in microseconds.
AT = 1_796_007_600_000_000
SECOND = 1_000_000
DAY = 86_400 * SECOND
KEY = b"key"
TOKENS = Tokens(10, 20, 30, 4)


def prompt(*texts: str, **fields: Any) -> PromptDigests:
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": text} for number, text in enumerate(texts)]
    found = digests_of(json.dumps({"messages": messages, **fields}).encode(), KEY)
    assert found is not None
    return found


def trace(
    number: int = 0,
    texts: Sequence[str] = ("a",),
    *,
    seconds: float | None = None,
    model: str = MODEL,
    location: str = "global",
    tokens: Tokens | None = TOKENS,
    session: bytes | None = None,
    body: dict[str, Any] | None = None,
    **fields: Any,
) -> Trace:
    """A request that arrived ``seconds`` after ``AT``, by default its number of seconds."""
    digests = prompt(*texts, **(body or {}))
    at = AT + round((number if seconds is None else seconds) * SECOND)
    attempt = TracedAttempt(f"{model}@{location}", model, 1.0, 50.0, location, status=200)
    request: dict[str, Any] = {
        "at": at, "request_id": f"req_{number}", "dialect": "openai_chat", "operation": "generate", "route": model,
        "requested": model, "outcome": "ok", "status": 200, "duration_ms": 51.0, "tokens": tokens,
        "attempts": (attempt,),
    }  # fmt: skip
    return Trace(TracedRequest(**request | fields), conversation_digest("me", session, digests, KEY), digests)


def write(path: Path, traces: Sequence[Trace], now: int = AT) -> None:
    connection = TracesFile(path).open(5.0)
    try:
        add(connection, traces, now)
    finally:
        connection.close()
