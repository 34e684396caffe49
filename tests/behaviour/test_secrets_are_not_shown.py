"""Risk: a key, token, prompt or project id shows up in a response, log line, metric or repr."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.config.values import Secret
from modelmux.errors import UpstreamBroken
from modelmux.upstream.pool import HttpPool
from support.chat import chat
from support.clock import current_runtime
from support.fakes import FakeReply, error_reply, message_reply, stream_reply, text_events
from support.gateway import PATH, ask
from support.processes import free_port
from support.security import BEARER, KEY, PROJECT, PROMPT, TOKEN, Tokens, guarded, imported, send


def test_s6_secrets_cannot_be_printed_or_encoded() -> None:
    secret = Secret(KEY)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        str([secret]),
        repr([secret]),
        repr({"k": secret}),
    ]
    for text in shown:
        assert KEY not in text
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    config = Config.from_dict({"server": {"api_keys": [KEY]}, "auth": {"access_token": TOKEN}})
    for part in (config, config.server, config.auth, copy.deepcopy(config.auth)):
        assert KEY not in repr(part)
        assert TOKEN not in repr(part)


@pytest.mark.parametrize("query", [f"key={KEY}", f"api_key={KEY}", f"access_token={KEY}", f"x-api-key={KEY}"])
async def test_s14_a_key_in_the_query_is_ignored_and_not_logged(query: str) -> None:
    subject = guarded(message_reply())
    response = await send(subject.app, "POST", PATH, [], None, query=query.encode())
    assert response.status == 401
    passed = await send(subject.app, "POST", PATH, BEARER, json.dumps(ask()).encode(), query=query.encode())
    assert passed.status == 200
    assert KEY not in subject.seen(response, passed)
    assert KEY not in subject.upstream.calls[0].target


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "step",
    [
        UpstreamBroken("The connection was lost.", reply_started=True),
        FakeReply(200, [(b"content-type", b"application/json")], [b"<html>"]),
        FakeReply(500, [], [b"\xff\xfe"]),
        error_reply(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        stream_reply(*text_events("fine")[:4]),
        lambda call: json.loads(call.body)["no such key"],
        lambda call: (_ for _ in ()).throw(ValueError(call.body.decode())),
    ],
    ids=["lost", "html", "bytes", "overloaded", "cut", "key error", "quoting"],
)
async def test_s15_errors_do_not_quote_prompts(step: Any, stream: bool) -> None:
    subject = guarded(step, retries={"max": 0})
    body = json.dumps(ask(PROMPT, stream=stream)).encode()
    response = await send(subject.app, "POST", PATH, BEARER, body)
    assert response.status >= 400 or b'"error"' in response.body
    assert PROMPT not in subject.seen(response)


async def test_s30_metrics_need_a_key_and_name_no_client() -> None:
    subject = guarded(message_reply(), message_reply())
    assert (await send(subject.app, "GET", "/metrics", [])).status == 401
    person = "canary-person@example.com"
    headers = [*BEARER, (b"user-agent", b"canary-agent/1.0"), (b"x-forwarded-for", b"203.0.113.99")]
    for model in (None, "canary-model-name"):
        body = ask(PROMPT, user=person, metadata={"who": person}) | ({"model": model} if model else {})
        await send(subject.app, "POST", PATH, headers, json.dumps(body).encode())
    page = await send(subject.app, "GET", "/metrics", BEARER)
    assert page.status == 200
    text = page.body.decode()
    assert "modelmux_requests_total" in text
    for canary in (KEY, person, PROMPT, PROJECT, "canary", "203.0.113.99"):
        assert canary not in text


async def test_s31_open_pages_show_only_status_and_counters() -> None:
    subject = guarded(message_reply())
    await send(subject.app, "POST", PATH, BEARER, json.dumps(ask(PROMPT)).encode())
    health = (await send(subject.app, "GET", "/health", [])).json()
    assert set(health) <= {"status", "metrics", "reason"}
    assert all(isinstance(value, int | float) for value in health["metrics"].values())
    for path in ("/livez", "/readyz", "/healthz", "/health/readiness", "/health/liveliness"):
        assert set((await send(subject.app, "GET", path, [])).json()) <= {"status", "reason"}
    assert set((await send(subject.app, "GET", "/", [])).json()) == {"name", "version", "openai_base_path", "apis"}


#: Every field that a line about a request may have.
LOGGED = {
    "event", "level", "timestamp", "request_id", "route", "deployment", "model", "attempts", "stream", "outcome",
    "status", "code", "message", "duration_s", "time_to_first_token_s", "input_tokens", "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens", "notices", "upstream_request_id", "user_agent", "operation", "requested_model",
    "key", "team", "person", "trace_id",
}  # fmt: skip


async def test_s32_request_lines_have_known_fields_only() -> None:
    subject = guarded(message_reply())
    body = ask(PROMPT, user="canary-user", metadata={"api_key": "canary-meta"}, logit_bias={"1": 1})
    await send(subject.app, "POST", PATH, BEARER, json.dumps(body).encode())
    (line,) = [event for event in subject.events if event["event"] == "request"]
    unknown = set(line) - LOGGED
    assert not {name for name in unknown if not isinstance(line[name], int | float)}, "a new field may hold text"
    assert "canary" not in json.dumps(line)
    assert not list(imported("langfuse", "sentry_sdk", "datadog"))
    assert {line.partition(":")[0] for line in imported("opentelemetry")} == {
        "telemetry/tracing/exporter.py", "telemetry/otlp_metrics/exporter.py", "telemetry/resource.py",
    }  # fmt: skip


def test_s32_nothing_of_opentelemetry_is_imported_where_no_variable_asks_for_it() -> None:
    code = (
        "import sys; from modelmux import Config; from modelmux.app import Gateway\n"
        "Gateway(Config.from_dict({'vertex': {'project': 'p', 'location': 'global'}}), environment={})\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_s42_errors_do_not_name_internal_addresses() -> None:
    port = free_port()
    vertex = {"project": PROJECT, "location": "global", "base_url": f"http://127.0.0.1:{port}"}
    settings = Config.from_dict({"vertex": vertex, "server": {"api_keys": [KEY]}, "retries": {"max": 0}})
    app = Gateway(settings, upstream=HttpPool(), tokens=Tokens(), environment={}, runtime=current_runtime())
    for stream in (False, True):
        response = await send(app, "POST", PATH, BEARER, json.dumps(ask(stream=stream)).encode())
        assert response.status == 502
        for inside in (str(port), "127.0.0.1", "Errno", "refused", PROJECT, TOKEN):
            assert inside not in response.body.decode()
    await app.aclose()


async def test_s44_keys_are_not_logged() -> None:
    other = "sk-canary-not-ours-9z"
    for style in ("json", "console"):
        subject = guarded(message_reply(), style=style)
        for headers in (BEARER, [(b"x-api-key", other.encode())], [*BEARER, (b"x-api-key", other.encode())]):
            await send(subject.app, "POST", PATH, headers, json.dumps(ask()).encode())
        text = subject.out.getvalue()
        assert text.strip()
        assert KEY not in text
        assert other not in text


async def test_s44_keys_of_failed_requests_are_not_logged() -> None:
    got = await chat(messages=[{"role": "boss"}], headers={"authorization": f"Bearer {KEY}"})
    assert got.status == 400
    assert KEY not in got.response.body.decode()
