"""Risk: a key, token, prompt or project id is in a log line, error, metric, header or repr."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.errors import UpstreamBroken
from modelmux.telemetry.log import make_log
from support.asgi import request
from support.clock import current_runtime
from support.fakes import FakeReply, FakeUpstream, error_reply, message_reply, stream_reply, text_events
from support.gateway import PATH, ask

CANARIES = {
    "key": "sk-canary-key-111",
    "token": "ya29.canary-token-222",
    "prompt": "canary prompt 333",
    "project": "canary-project-444",
    "tool": "canary_tool_555",
    "user": "canary-user-666@example.com",
}


class Tokens:
    async def token(self) -> str:
        return CANARIES["token"]

    async def renew(self, rejected: str) -> str:
        return CANARIES["token"]

    async def aclose(self) -> None:
        pass


def settings() -> Config:
    return Config.from_dict(
        {
            "server": {"api_keys": [CANARIES["key"]], "log_level": "trace"},
            "retries": {"max": 0},
            "vertex": {"project": CANARIES["project"], "location": "global"},
            "auth": {"access_token": CANARIES["token"], "service_account_json": CANARIES["token"]},
        }
    )


def google(status: int, name: str) -> FakeReply:
    message = (
        f"Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/"
        f"{CANARIES['project']}/locations/global/publishers/anthropic/models/m' (or it may not exist)."
    )
    return error_reply(status, [{"error": {"code": status, "message": message, "status": name}}])


def quoting(status: int, name: str) -> FakeReply:
    """An upstream that quotes the token it was sent."""
    message = f"Request had invalid credentials: Bearer {CANARIES['token']} ({CANARIES['token']})."
    return error_reply(status, {"error": {"code": status, "message": message, "status": name}})


SCRIPTS: dict[str, Any] = {
    "answered": lambda: [message_reply("fine")],
    "streamed": lambda: [stream_reply(*text_events("fine"))],
    "refused": lambda: [google(403, "PERMISSION_DENIED")],
    "not found": lambda: [google(404, "NOT_FOUND")],
    "unauthenticated": lambda: [google(401, "UNAUTHENTICATED")],
    "token quoted in a 401": lambda: [quoting(401, "UNAUTHENTICATED"), quoting(401, "UNAUTHENTICATED")],
    "token quoted in a 403": lambda: [quoting(403, "PERMISSION_DENIED")],
    "token quoted in a 429": lambda: [quoting(429, "RESOURCE_EXHAUSTED")],
    "token quoted in a 500": lambda: [quoting(500, f"INTERNAL {CANARIES['token']}")],
    "broken": lambda: [UpstreamBroken("The connection was lost.", reply_started=True)],
    "cut": lambda: [stream_reply(*text_events("fine")[:4])],
    "not JSON": lambda: [FakeReply(200, [(b"content-type", b"application/json")], [b"<html>"])],
    "our own fault": lambda: [lambda call: 1 / 0],
}


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", SCRIPTS)
async def test_nothing_leaks(case: str, stream: bool, style: str) -> None:
    out = io.StringIO()
    app = Gateway(
        settings(),
        log=make_log("trace", style, out),
        upstream=FakeUpstream(SCRIPTS[case]()),
        tokens=Tokens(),
        runtime=current_runtime(),
    )
    body = ask(
        CANARIES["prompt"],
        stream=stream,
        user=CANARIES["user"],
        tools=[{"type": "function", "function": {"name": CANARIES["tool"], "description": CANARIES["prompt"]}}],
    )
    response = await request(app, "POST", PATH, body, {"authorization": f"Bearer {CANARIES['key']}"})
    metrics = await request(app, "GET", "/metrics", headers={"x-api-key": CANARIES["key"]})
    seen = "\n".join([
        out.getvalue(), response.body.decode(), json.dumps(response.headers), metrics.body.decode(),
        repr(app), repr(settings()), repr(settings().auth), repr(settings().server), repr(vars(app)),
    ])  # fmt: skip
    assert out.getvalue().strip(), "nothing was logged, so nothing was tested"
    for name, canary in CANARIES.items():
        assert canary not in seen, f"the {name} leaked"


async def test_a_refused_key_is_not_logged() -> None:
    out = io.StringIO()
    app = Gateway(
        settings(),
        log=make_log("trace", "json", out),
        upstream=FakeUpstream([]),
        tokens=Tokens(),
        runtime=current_runtime(),
    )
    response = await request(app, "POST", PATH, ask(), {"x-api-key": "sk-canary-wrong-777"})
    assert response.status == 401
    assert "canary" not in out.getvalue() + response.body.decode()


async def test_an_upstream_cannot_forge_a_log_line() -> None:
    out = io.StringIO()
    forged = "boom\n2026-01-01 [info] request outcome=ok\r\x1b[31m"
    reply = error_reply(500, {"type": "error", "error": {"type": "api_error", "message": forged}})
    app = Gateway(
        settings(),
        log=make_log("trace", "console", out),
        upstream=FakeUpstream([reply]),
        tokens=Tokens(),
        runtime=current_runtime(),
    )
    await request(app, "POST", PATH, ask(), {"x-api-key": CANARIES["key"]})
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert all("\x1b" not in line for line in lines)
    assert not any(line.startswith("2026-01-01") for line in lines)
