"""What users of other gateways suffered from, threads 45 to 76: our guarantee for each, seen from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.config import Config, ConfigError, build_routes, load_all
from modelmux.errors import UpstreamUnreachable
from modelmux.telemetry.log_files import LogFiles
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.worker_metrics import Family, exposition, families, kept, merged
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import Origin
from support.asgi import request
from support.emulator_server import running, until
from support.fakes import (
    FakeReply,
    FakeTokens,
    FakeUpstream,
    error_reply,
    event,
    message_reply,
    stream_reply,
    text_events,
)
from support.gateway import PATH, ask, gateway
from support.http_peers import call as made_call
from support.http_peers import keep_open, peer, pool_of, replies
from support.lessons import USER, tool
from support.lessons import ask as converse
from support.lessons import call as tool_call
from support.processes import Process, free_port
from support.security import BEARER, KEY, ROOT, SOURCE, guarded, send
from support.slow import SlowUpstream

OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting between attempts takes no time, and is noted."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr("modelmux.app.asyncio.sleep", sleep)
    return seconds


def quota(retry_after: str | None = None) -> FakeReply:
    reply = error_reply(429, [{"error": {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED"}}])
    if retry_after is not None:
        reply.headers = [*reply.headers, (b"retry-after", retry_after.encode())]
    return reply


@pytest.mark.parametrize("arguments", ["not json", "[1]", "null", '{"a":', '"text"', "{" * 3000])
async def test_g45_a_bad_argument_costs_no_second_call(arguments: str, waited: list[float]) -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": [tool_call(arguments=arguments)]}
    body = ask(tools=[tool()]) | {
        "messages": [USER, turn, {"role": "tool", "tool_call_id": "toolu_1", "content": "20"}]
    }
    upstream = FakeUpstream([message_reply() for _ in range(5)])
    response = await request(gateway(upstream), "POST", PATH, body)
    assert response.status in (200, 400)
    assert len(upstream.calls) == (response.status == 200)
    refused = FakeUpstream([error_reply(400, {"type": "error", "error": {"type": "invalid_request_error"}})] * 5)
    assert (await request(gateway(refused), "POST", PATH, ask())).status == 400
    assert len(refused.calls) == 1
    assert not waited


async def test_g47_it_is_ready_when_it_can_serve_and_lives_when_it_cannot() -> None:
    app = gateway(FakeUpstream([]))
    assert (await request(app, "GET", "/readyz")).status == 200
    app.readiness.problem = "credentials"
    assert (await request(app, "GET", "/readyz")).json() == {"status": "not ready", "reason": "credentials"}
    assert (await request(app, "GET", "/livez")).status == 200
    app.readiness.problem = None
    assert (await request(app, "GET", "/readyz")).status == 200


async def test_g48_whoever_is_refused_is_counted_with_the_reason(waited: list[float]) -> None:
    subject = guarded(quota(), retries={"max": 0})
    body = json.dumps(ask()).encode()
    for method, path, headers, sent in (
        ("POST", PATH, [], body),
        ("POST", PATH, [(b"x-api-key", b"wrong")], body),
        ("GET", "/nowhere", BEARER, b""),
        ("DELETE", PATH, BEARER, b""),
        ("POST", PATH, [*BEARER, (b"content-type", b"text/plain")], body),
        ("POST", PATH, BEARER, b"{"),
        ("POST", PATH, BEARER, body),
    ):
        assert (await send(subject.app, method, path, headers, sent)).status >= 400
    counted = {
        (status, code): subject.metric("modelmux_error_responses_total", status=status, code=code)
        for status, code in (("401", "invalid_api_key"), ("404", "unknown_url"), ("405", "method_not_allowed"),
                             ("415", "unsupported_media_type"), ("400", "invalid_request_error"),
                             ("429", "rate_limit_exceeded"))
    }  # fmt: skip
    assert list(counted.values()) == [2, 1, 1, 1, 1, 1], counted


class Stuck(FakeReply):
    """A reply that never comes."""

    async def read(self, limit: int) -> bytes:
        await asyncio.Event().wait()
        return b""


async def test_g49_health_answers_while_everything_waits() -> None:
    app = gateway(FakeUpstream([Stuck(200, [(b"content-type", b"application/json")], []) for _ in range(200)]))
    gone = asyncio.Event()
    waiting = [asyncio.create_task(request(app, "POST", PATH, ask(), disconnect=gone)) for _ in range(200)]
    await asyncio.sleep(0.05)
    began = time.perf_counter()
    for path in ("/livez", "/readyz", "/health"):
        assert (await request(app, "GET", path)).status in (200, 503)
    assert time.perf_counter() - began < 0.2
    gone.set()
    await asyncio.gather(*waiting)


def test_g49_what_we_ship_gives_health_five_seconds() -> None:
    dockerfile = (ROOT / "packaging" / "docker" / "Dockerfile").read_text("utf-8")
    found = re.findall(r"HEALTHCHECK.*--timeout=(\d+)s", dockerfile)
    assert found
    assert all(int(seconds) >= 5 for seconds in found)


def test_g50_g51_told_to_stop_it_says_so_finishes_and_goes(tmp_path: Path) -> None:
    import signal
    import socket

    port = free_port()
    (tmp_path / "config.toml").write_text(
        f'[server]\nport = {port}\ndrain_timeout = "2s"\n[vertex]\nproject = "p"\nlocation = "global"\n'
        'base_url = "http://127.0.0.1:9"\n[auth]\naccess_token = "ya29.token"\n'
    )
    process = Process(tmp_path / "log", "serve", "--config", str(tmp_path / "config.toml"), port=port)
    try:
        process.wait_ready()
        with socket.create_connection(("127.0.0.1", port)) as idle:  # a client that holds its connection
            idle.sendall(b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n")
            assert idle.recv(4096).startswith(b"HTTP/1.1 200")
            began = time.monotonic()
            process.signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 8
    finally:
        process.stop()


async def test_g50_while_it_goes_down_it_is_not_ready() -> None:
    app = gateway(FakeUpstream([]))
    app.readiness.draining = True
    assert (await request(app, "GET", "/readyz")).status == 503


@pytest.mark.parametrize("mode", ["standard", "buffered", "single"])
async def test_g52_comments_begin_with_the_request_not_with_the_upstream_s_answer(mode: str) -> None:
    reply = message_reply() if mode == "single" else stream_reply(*text_events("fine"))
    app = gateway(SlowUpstream([reply], wait=0.2), streaming={"keep_alive_interval": "50ms", "mode": mode})
    response = await request(app, "POST", PATH, ask(stream=True))
    assert response.body.startswith(b": ping\n\n" * 3)
    assert response.events()[-1] == "[DONE]"


def test_g53_counters_of_the_whole_never_fall() -> None:
    """Scraped twenty times while workers come, count and go: read by whatever worker the scrape meets."""
    workers, past, seen = {"0": Metrics(), "1": Metrics()}, list[Family](), list[float]()
    counted = 0
    for number in range(20):
        workers[str(number)] = Metrics() if str(number) not in workers else workers[str(number)]
        for metrics in workers.values():
            metrics.requests.add("m", "ok")
            counted += 1
        if number >= 2:  # the oldest ends: its last report is kept
            past = kept(past, families(workers.pop(str(number - 2)).registry))
        text = exposition(merged(past, {name: families(m.registry) for name, m in workers.items()})).decode()
        found = re.search(r'^modelmux_requests_total\{outcome="ok",route="m"\} (\S+)$', text, re.MULTILINE)
        assert found is not None
        seen.append(float(found[1]))
    assert seen == sorted(seen)
    assert seen[-1] == counted


def test_g55_the_process_shows_itself() -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("the platform does not tell")
    page = gateway(FakeUpstream([])).metrics.expose().decode()
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
        assert f"\n{name} " in page


async def test_g56_labels_are_not_made_by_clients() -> None:
    subject = guarded(*[message_reply() for _ in range(100)])
    await send(subject.app, "POST", PATH, BEARER, json.dumps(ask()).encode())
    await send(subject.app, "POST", PATH, BEARER, json.dumps(ask() | {"model": "gpt-x"}).encode())
    before = len(subject.app.metrics.expose().splitlines())
    for number in range(50):
        body = ask(user=f"user-{number}", metadata={"k": str(number)})
        headers = [*BEARER, (b"user-agent", b"agent/%d" % number)]
        await send(subject.app, "POST", PATH, headers, json.dumps(body).encode())
        await send(subject.app, "POST", PATH, headers, json.dumps(body | {"model": f"m{number}"}).encode())
        await send(subject.app, "GET", f"/path-{number}", headers)
        await send(subject.app, f"M{number}", "/x", [], None)
    assert len(subject.app.metrics.expose().splitlines()) - before < 10


async def test_g57_streams_that_clients_leave_give_their_places_back() -> None:
    async with running() as emulator:
        origin = emulator.base_url
        pool = HttpPool()
        vertex = {"project": "p", "location": "global", "base_url": origin}
        app = Gateway(Config.from_dict({"vertex": vertex}), upstream=pool, tokens=FakeTokens(), environment={})
        for _ in range(30):
            gone = asyncio.Event()
            body = ask("Write at length. " * 50, stream=True)
            asking = asyncio.create_task(request(app, "POST", PATH, body, disconnect=gone))
            await asyncio.sleep(0.01)
            gone.set()
            await asking
        await until(lambda: pool.open == pool.idle and pool.waiting == 0)
        assert (await request(app, "POST", PATH, ask())).status == 200
        await app.aclose()
        assert pool.open == 0


async def test_g58_refusals_of_streams_give_their_places_back() -> None:
    refusal = json.dumps({"type": "error", "error": {"type": "invalid_request_error"}}).encode()
    raw = b"HTTP/1.1 400 Bad\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(refusal),
        refusal,
    )
    async with peer(replies(*[raw] * 300, then=keep_open)) as (origin, _):
        pool = HttpPool()
        vertex = {"project": "p", "location": "global", "base_url": f"http://127.0.0.1:{origin.port}"}
        app = Gateway(Config.from_dict({"vertex": vertex}), upstream=pool, tokens=FakeTokens(), environment={})
        for _ in range(30):
            await asyncio.gather(*(request(app, "POST", PATH, ask(stream=True)) for _ in range(10)))
            assert pool.waiting == 0
            assert pool.open == pool.idle
        await app.aclose()
        assert pool.open == 0


async def test_g59_a_stream_twice_as_long_costs_twice() -> None:
    seconds = []
    for count in (2000, 8000):
        thinking = [event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""})]
        thinking += [
            event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "word "})
            for _ in range(count)
        ]
        pieces = [text_events("x")[0], *thinking, event("content_block_stop", index=0)]
        pieces += [event("message_delta", delta={"stop_reason": "end_turn"}, usage={}), event("message_stop")]
        app = gateway(FakeUpstream([stream_reply(*pieces)]))
        began = time.process_time()
        response = await request(app, "POST", PATH, ask(stream=True))
        seconds.append(time.process_time() - began)
        assert response.body.endswith(b"data: [DONE]\n\n")
    assert seconds[1] < 12 * seconds[0] + 0.2, seconds


def test_g60_it_is_imported_quickly_and_calls_nobody() -> None:
    code = (
        "import socket, sys, time\n"
        "def no(*a, **k): raise AssertionError('the network was used')\n"
        "socket.socket.connect = socket.getaddrinfo = no\n"
        "began = time.process_time()\n"
        "import modelmux\n"
        "app = modelmux.create_app(modelmux.Config.from_dict({'vertex': {'project': 'p', 'location': 'global'}}))\n"
        "print(time.process_time() - began)\n"
    )
    environment = {**os.environ, "HOME": "/nonexistent"}
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment,
                         timeout=30, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) < 3.0


def _serving(*names: str, **tables: Any) -> Config:
    models = [{"name": name, "model": "claude-sonnet-4-6"} for name in names]
    return Config.from_dict({"vertex": {"project": "p", "location": "global", "models": models}, **tables})


async def test_g61_models_change_all_together_or_not_at_all() -> None:
    app = Gateway(_serving("one", "two"), upstream=FakeUpstream([]), tokens=FakeTokens(), environment={})

    async def listed() -> set[str]:
        return {model["id"] for model in (await request(app, "GET", "/v1/models")).json()["data"]}

    before = await listed()
    assert {"one", "two"} <= before
    for bad in (
        {"vertex": {"project": "p", "location": "nowhere", "models": [{"name": "x", "model": "claude-sonnet-4-6"}]}},
        {"vertex": {"models": [{"name": "x", "model": "claude-sonnet-4-6"}]}},
        {"vertex": {}},
    ):
        with pytest.raises(ConfigError):
            await app.reload(Config.from_dict(bad))
        assert await listed() == before
    await app.reload(_serving("two", "three"))
    after = await listed()
    assert "one" not in after
    assert {"two", "three"} <= after
    await app.aclose()


def test_g62_one_order_of_sources_and_each_value_says_where_it_is_from(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[server]\nport = 1111\nhost = "127.0.0.2"\nlog_level = "warn"\n')
    loaded = load_all(
        options={"server.port": 3333},
        environment={"MODELMUX_SERVER_PORT": "2222", "MODELMUX_SERVER_HOST": "127.0.0.3", "HOME": str(tmp_path)},
        file=file, dotenv=None, system_file=tmp_path / "none",
    )  # fmt: skip
    server = loaded.config.server
    assert (server.port, server.host, server.log_level) == (3333, "127.0.0.3", "warn")
    assert "MODELMUX_SERVER_HOST" in loaded.origin(("server", "host"))
    assert "c.toml" in loaded.origin(("server", "log_level"))


async def test_g63_a_reload_reaches_every_request_from_then_on() -> None:
    app = Gateway(_serving("old"), upstream=FakeUpstream([message_reply()] * 9), tokens=FakeTokens(), environment={})
    await app.reload(_serving("new"))
    for _ in range(3):
        assert (await request(app, "POST", PATH, ask() | {"model": "old"})).status == 404
        assert (await request(app, "POST", PATH, ask() | {"model": "new"})).status == 200
    await app.aclose()


async def test_g64_a_line_has_a_size() -> None:
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


def test_g65_a_line_costs_the_same_whatever_was_written_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_g66_a_stream_costs_its_lines_not_a_line_a_piece() -> None:
    strange = [event("quantum_leap", index=0) for _ in range(200)]
    strange += [event("content_block_start", index=9, content_block={"type": f"hologram_{n}"}) for n in range(200)]
    pieces = text_events(*["word "] * 200)
    subject = guarded(stream_reply(*pieces[:3], *strange, *pieces[3:]))
    response = await send(subject.app, "POST", PATH, BEARER, json.dumps(ask(stream=True)).encode())
    assert response.body.endswith(b"data: [DONE]\n\n")
    assert len(subject.events) <= 2


async def test_g69_one_429_is_no_lock(waited: list[float]) -> None:
    app = gateway(upstream := FakeUpstream([quota()]), retries={"max": 0})
    assert (await request(app, "POST", PATH, ask())).status == 429
    upstream.script = [message_reply("fine")]
    assert (await request(app, "POST", PATH, ask())).status == 200


async def test_g70_each_attempt_s_headers_are_built_anew_from_one_list(waited: list[float]) -> None:
    refused = error_reply(401, {"error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}})
    model = {"name": "m", "model": "claude-sonnet-4-6", "locations": ["global", "eu"]}
    upstream = FakeUpstream([refused, error_reply(529, OVERLOADED), message_reply()])
    canary = {
        "x-custom": "canary",
        "cookie": "canary",
        "x-goog-user-project": "canary",
        "authorization": f"Bearer {KEY}",
    }
    response = await request(
        gateway(upstream, vertex={"models": [model]}), "POST", PATH, ask() | {"model": "m"}, canary
    )
    assert response.status == 200
    assert len(upstream.calls) == 3
    without_token = [[pair for pair in made.headers if pair[0] != b"authorization"] for made in upstream.calls]
    assert without_token[0] == without_token[1] == without_token[2]
    assert b"canary" not in repr([made.headers for made in upstream.calls]).encode()
    assert len({dict(made.headers)[b"authorization"] for made in upstream.calls[1:]}) == 1


async def test_g71_how_bytes_are_packed_is_between_us_and_the_upstream() -> None:
    async with peer(replies(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")) as (origin, _), pool_of() as pool:
        seen: list[bytes] = []
        assert isinstance(origin, Origin)
        real = made_call(origin, headers=[(b"accept-encoding", b"gzip")])
        with pytest.raises(ValueError, match="by itself"):
            seen.append(await (await pool.send(real)).read(10))
        assert not seen
    names = ("accept-encoding", "te", "connection", "upgrade", "x-forwarded-accept-encoding", "x-pass-accept-encoding")
    got = await converse(headers=dict.fromkeys(names, "br"))
    sent = {name for name, _ in got.upstream.calls[0].headers}
    assert not sent & {name.encode() for name in names}


@pytest.mark.parametrize("asked", ["1", "29", "3600", "99999999"])
async def test_g72_nobody_is_held_for_as_long_as_an_upstream_likes(asked: str, waited: list[float]) -> None:
    elsewhere = FakeUpstream([quota(asked), message_reply()])
    model = {"name": "m", "model": "claude-sonnet-4-6", "locations": ["global", "eu"]}
    response = await request(gateway(elsewhere, vertex={"models": [model]}), "POST", PATH, ask() | {"model": "m"})
    assert response.status == 200
    assert not waited
    alone = FakeUpstream([quota(asked) for _ in range(9)])
    response = await request(gateway(alone), "POST", PATH, ask())
    assert response.status == 429
    assert all(seconds <= 30 for seconds in waited)


async def test_g73_what_is_not_found_is_an_envelope_that_says_what() -> None:
    page = FakeReply(404, [(b"content-type", b"text/html")], [b"<!DOCTYPE html><title>404</title><p>not found"])
    for reply in (page, FakeReply(404, [(b"content-type", b"application/json")], [b"<html>"])):
        got = await converse(reply, settings={"retries": {"max": 0}})
        assert got.status == 404
        assert got.error["code"] == "model_not_found"
        assert "<" not in got.error["message"]
        assert "model" in got.error["message"]
        assert "location" in got.error["message"]
    unknown = await converse(model="gpt-9")
    assert "gpt-9" in unknown.error["message"]


@pytest.mark.parametrize("vertex", [{"project": "p"}, {"location": "global"}, {"project": "p", "location": ""}])
def test_g74_no_place_is_made_up(vertex: dict[str, str]) -> None:
    config = Config.from_dict({"vertex": {**vertex, "models": [{"name": "m", "model": "claude-sonnet-4-6"}]}})
    with pytest.raises(ConfigError):
        build_routes(config, config.build_catalog())
    assert not [file for file in SOURCE.rglob("*.py") if re.search(r"=\s*\"us-central1\"", file.read_text("utf-8"))]


@pytest.mark.parametrize("mask", ["***", "********", "sk-...", "sk-modelmux-…", "sk-modelmux-****", "Secret('***')"])
def test_g75_a_mask_is_not_taken_for_a_key(mask: str) -> None:
    config = Config.from_dict({"server": {"api_keys": [mask]}, "vertex": {"project": "p", "location": "global"}})
    with pytest.raises(ConfigError, match="placeholder"):
        Gateway(config, upstream=FakeUpstream([]), tokens=FakeTokens(), environment={})


@pytest.mark.parametrize("stream", [False, True])
async def test_g76_a_request_s_line_says_how_large_it_was(stream: bool) -> None:
    reply = stream_reply(*text_events("Hello")) if stream else message_reply("Hello")
    subject = guarded(reply)
    body = json.dumps(ask("x" * 5000, stream=stream)).encode()
    response = await send(subject.app, "POST", PATH, BEARER, body)
    refused = await send(subject.app, "POST", PATH, BEARER, b"[" * 777)
    assert (response.status, refused.status) == (200, 400)
    lines = [event for event in subject.events if event["event"] == "request"]
    assert [line["request_bytes"] for line in lines] == [len(body), 777]
    assert lines[0]["response_bytes"] == len(response.body)
