"""Risk: what people wrote is kept although nobody asked for it, or without their client being told; a body that was to
be kept is missing, is another one than was sent, or is kept with a credential; a request waits or fails for it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import sqlite3
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from behaviour.test_keys_have_their_rights import World
from modelmux import Config, ConfigError
from modelmux.accounts.edits import save_key
from modelmux.app import Gateway
from modelmux.store.captures.record import Capture
from modelmux.store.captures.sqlite_captures import CapturesFile, find
from support.asgi import request
from support.canary_requests import BODIES, OVERLOADED, TWO, ended
from support.clock import NOW, current_runtime
from support.emulator_server import until
from support.fakes import FakeTokens, FakeUpstream, error_reply, message_reply, stream_reply, text_events
from support.gateway import MODEL
from support.log_lines import Lines
from support.pictures import data_url, image_part, png

NOW_MICRO = round(NOW * 1_000_000)
KEYLESS = {"enabled": True, "without_account": True}
NOTICE = "x-modelmux-capture"


def gateway(
    folder: Path, *replies: Any, capture: dict[str, Any] | None = None, log: Any = None, **settings: Any
) -> Gateway:
    runtime = settings.pop("runtime", None)
    vertex = {"project": "canary-project", "location": "global"} | settings.pop("vertex", {})
    tables = {
        "vertex": vertex, "capture": KEYLESS if capture is None else capture,
        "server": {"state_dir": str(folder)} | settings.pop("server", {}),
    } | settings  # fmt: skip
    return Gateway(
        Config.from_dict(tables), upstream=FakeUpstream(list(replies)), tokens=FakeTokens(), environment={},
        runtime=runtime or current_runtime(), log=log,
    )  # fmt: skip


def captured(folder: Path, id: str) -> Capture | None:
    connection = CapturesFile(folder / "captures.db", creates=False).open(5.0)
    try:
        return find(connection, id, 3, NOW_MICRO)
    finally:
        connection.close()


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", BODIES)
async def test_both_bodies_of_both_dialects_are_kept(dialect: str, stream: bool, tmp_path: Path) -> None:
    reply = stream_reply(b"".join(text_events("canary answer"))) if stream else message_reply("canary answer")
    app = gateway(tmp_path, reply)
    response = await ended(app, dialect, stream=stream)
    assert response.status == 200, response.body
    assert response.headers[NOTICE] == "bodies"
    one = captured(tmp_path, response.headers["x-request-id"])
    assert one is not None
    path, body = BODIES[dialect]
    assert one.contents.path == path
    assert json.loads(one.body(one.contents.request)) == body | {"stream": stream}
    assert one.body(one.contents.response) == response.body
    assert b"canary" in response.body
    (attempt,) = one.contents.attempts
    upstream = app._upstream
    assert isinstance(upstream, FakeUpstream)
    assert one.body(attempt.request) == upstream.calls[0].body
    assert attempt.reply is not None
    sent = one.body(attempt.reply)
    assert b"canary answer" in sent.replace(b'"}}\n\nevent', b"") or b"canary" in sent
    assert one.request.is_captured
    assert (tmp_path / "captures.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("dialect", BODIES)
async def test_off_nothing_of_a_prompt_is_in_any_file(dialect: str, tmp_path: Path) -> None:
    on = gateway(tmp_path / "on", message_reply("canary answer"))
    await ended(on, dialect)
    connection = sqlite3.connect(tmp_path / "on" / "captures.db")
    assert connection.execute("SELECT count(*) FROM bodies").fetchone() == (4,)  # so that the other half can fail
    connection.close()
    off = gateway(tmp_path / "off", message_reply("canary answer"), capture={}, traces={"enabled": True})
    response = await ended(off, dialect)
    assert response.status == 200
    assert NOTICE not in response.headers
    assert not (tmp_path / "off" / "captures.db").exists()
    assert b"canary" not in all_bytes(tmp_path / "off")


async def test_no_header_and_no_credential_is_kept(tmp_path: Path) -> None:
    app = gateway(tmp_path, message_reply(), server={"api_keys": ["sk-secret-12345678"]})
    headers = {
        "authorization": "Bearer sk-secret-12345678", "cookie": "secret-cookie", "x-api-key": "sk-secret-12345678",
        "anthropic-beta": "context-1m-2025-08-07", "anthropic-version": "2023-06-01",
    }  # fmt: skip
    response = await ended(app, "anthropic_messages", headers)
    one = captured(tmp_path, response.headers["x-request-id"])
    assert one is not None
    assert one.contents.headers == {
        "anthropic-version": "2023-06-01", "anthropic-beta": "context-1m-2025-08-07"
    }  # fmt: skip
    shown = json.dumps([one.contents.path, dict(one.contents.headers), str(one.request)]).encode()
    for data in (shown, *one.bodies.values()):
        assert b"secret" not in data
        assert b"canary-project" not in data


@pytest.mark.parametrize("verb", ["rawPredict", "streamRawPredict"])
async def test_a_path_of_vertex_ai_is_kept_without_the_clients_project_and_works_again(
    verb: str, tmp_path: Path
) -> None:
    resource = f"locations/us-east5/publishers/anthropic/models/{MODEL}:{verb}"
    body = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    reply = stream_reply(b"".join(text_events("Hi"))) if verb == "streamRawPredict" else message_reply()
    app = gateway(tmp_path, reply, reply)
    response = await request(app, "POST", f"/some/prefix/v1/projects/secret-project/{resource}", body)
    assert response.status == 200, response.body
    again = await request(app, "POST", path := f"/projects/-/{resource}", body)
    assert again.status == 200
    await app.aclose()
    for one in (
        captured(tmp_path, response.headers["x-request-id"]),
        captured(tmp_path, again.headers["x-request-id"]),
    ):
        assert one is not None
        assert one.contents.path == path
    assert b"secret-project" not in all_bytes(tmp_path)


async def test_each_attempt_has_what_it_sent_and_got(tmp_path: Path, no_waiting: list[float]) -> None:
    app = gateway(tmp_path, error_reply(503, {"error": {"message": "canary busy"}}), message_reply(), vertex=TWO)
    response = await ended(app, "openai_chat")
    one = captured(tmp_path, response.headers["x-request-id"])
    assert one is not None
    first, second = one.contents.attempts
    assert (first.number, second.number) == (1, 2)
    assert first.request == second.request  # the same bytes are kept once
    assert b"canary busy" in one.body(first.reply)
    assert json.loads(one.body(second.reply))["type"] == "message"


@pytest.mark.parametrize("fields", [{"model": "no-such-model"}, {"max_tokens": "many"}])
async def test_a_refused_request_is_kept_with_its_error(fields: dict[str, Any], tmp_path: Path) -> None:
    response = await ended(gateway(tmp_path), "openai_chat", **fields)
    assert response.status in (400, 404)
    assert response.headers[NOTICE] == "bodies"
    one = captured(tmp_path, response.headers["x-request-id"])
    assert one is not None
    assert one.contents.attempts == ()
    assert one.body(one.contents.response) == response.body
    assert b"canary prompt" in one.body(one.contents.request)


async def test_an_error_inside_a_stream_is_kept(tmp_path: Path) -> None:
    app = gateway(tmp_path, stream_reply(b"".join(text_events("canary")[:4]) + OVERLOADED))
    response = await ended(app, "anthropic_messages", stream=True)
    assert b"event: error" in response.body
    one = captured(tmp_path, response.headers["x-request-id"])
    assert one is not None
    assert one.body(one.contents.response) == response.body


async def test_of_a_client_that_left_what_it_got_is_kept(tmp_path: Path) -> None:
    """And what the upstream had sent by then."""
    hanging, leave, part = asyncio.Event(), asyncio.Event(), b"".join(text_events("canary")[:4])

    class Hanging:
        status, headers, is_complete = 200, [(b"content-type", b"text/event-stream")], False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield part
            hanging.set()
            await asyncio.sleep(3600)

        async def aclose(self) -> None: ...

    app = gateway(tmp_path, lambda call: Hanging())
    path, body = BODIES["anthropic_messages"]
    task = asyncio.create_task(
        request(app, "POST", path, body | {"stream": True}, {"x-request-id": "mine"}, disconnect=leave)
    )
    await hanging.wait()
    leave.set()
    response = await asyncio.wait_for(task, 100)
    await app.aclose()
    one = captured(tmp_path, "mine")
    assert one is not None
    assert one.request.outcome == "client_gone"
    assert one.body(one.contents.response) == response.body
    assert one.body(one.contents.attempts[0].reply) == part


async def test_a_disk_that_is_full_loses_captures_and_no_request(tmp_path: Path) -> None:
    lines = Lines()
    (tmp_path / "captures.db").mkdir()  # nothing can be written there
    app = gateway(tmp_path, *[message_reply() for _ in range(3)], log=lines)
    path, body = BODIES["openai_chat"]
    for _ in range(3):
        assert (await request(app, "POST", path, body)).status == 200
    await app.aclose()
    assert app.traces.dropped == 3
    messages = [fields["message"] for event, fields in lines.lines if event == "traces"]
    assert len(messages) == 1
    assert re.fullmatch(r"captured bodies are not written \(.*captures\.db: .*\); requests go on", messages[0])


async def test_long_bodies_are_cut_and_files_are_left_out(tmp_path: Path) -> None:
    picture = data_url(png(1000, 1000))
    content = [{"type": "text", "text": "canary " + "long " * 3_000}, image_part(picture)]
    app = gateway(tmp_path, message_reply(), capture=KEYLESS | {"max_body_bytes": 10_000})
    response = await ended(app, "openai_chat", messages=[{"role": "user", "content": content}])
    assert response.status == 200, response.body
    one = captured(tmp_path, response.headers["x-request-id"])
    assert one is not None
    stored = one.contents.request
    assert stored is not None
    assert (stored.is_cut, stored.files, stored.is_whole) == (True, 1, False)
    assert stored.size > 15_000
    assert len(one.body(stored)) == 10_000
    assert all(len(body) <= 10_000 for body in one.bodies.values())
    whole = await ended(
        gateway(tmp_path, message_reply()), "openai_chat", messages=[{"role": "user", "content": content}]
    )
    one = captured(tmp_path, whole.headers["x-request-id"])
    assert one is not None
    for body in (one.body(one.contents.request), one.body(one.contents.attempts[0].request)):
        assert picture[30:60].encode() not in body
        assert b"image/png" in body
        assert re.search(rb"\(image/png, \d{4,6} bytes\)", body)
        json.loads(body)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"capture": {"enabled": True}}, "capture.enabled: there are no accounts"),
        ({"capture": {"without_account": True}}, "capture.without_account: it is true, but capture.enabled is not"),
        ({"capture": KEYLESS, "traces": {"enabled": False}}, "which traces.enabled turns off"),
    ],
)  # fmt: skip
def test_settings_that_would_keep_nothing_are_refused(settings: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=problem):
        gateway(tmp_path, **settings)


async def test_of_virtual_keys_only_those_that_opted_in_are_captured(tmp_path: Path) -> None:
    """Whatever else is captured: ``without_account`` is not for them."""
    world = World(
        tmp_path, *[message_reply("canary answer") for _ in range(4)], server={"state_dir": str(tmp_path)},
        capture=KEYLESS,
    )  # fmt: skip
    path, body = BODIES["openai_chat"]
    headers = {"authorization": f"Bearer {await world.new_key()}"}
    quiet = await request(world.app, "POST", path, body, headers)
    assert (quiet.status, quiet.headers.get(NOTICE)) == (200, None)
    await world.change(lambda directory: save_key(directory, replace(directory.keys["key_a"], capture=True)))
    assert world.app.directory is not None
    await world.app.directory.refresh()
    told = await request(world.app, "POST", path, body, headers)
    assert (told.status, told.headers.get(NOTICE)) == (200, "bodies")
    await world.change(lambda directory: save_key(directory, replace(directory.keys["key_a"], capture=False)))
    await world.app.directory.refresh()
    again = await request(world.app, "POST", path, body, headers)
    assert (again.status, again.headers.get(NOTICE)) == (200, None)
    await world.end()
    assert captured(tmp_path, quiet.headers["x-request-id"]) is None
    assert captured(tmp_path, told.headers["x-request-id"]) is not None
    assert captured(tmp_path, again.headers["x-request-id"]) is None


async def test_what_is_left_of_a_capture_that_was_turned_off_ends_with_its_time(tmp_path: Path) -> None:
    response = await ended(gateway(tmp_path, message_reply("canary answer")), "openai_chat")
    path = tmp_path / "captures.db"
    assert captured(tmp_path, response.headers["x-request-id"]) is not None
    later = dataclasses.replace(current_runtime(), now=lambda: NOW + 4 * 86_400)
    app = gateway(tmp_path, capture={}, runtime=later)
    await app.startup()
    await until(lambda: app.traces._captures is not None and app.traces._captures._task is None)
    await app.aclose()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM bodies").fetchone() == (0,)
    connection.close()
    assert b"canary" not in all_bytes(tmp_path)
    assert not any(zlib_of(data) for data in (path.read_bytes(),)), "a compressed body is left in the file"


def zlib_of(data: bytes) -> bool:
    """Whether a compressed body is somewhere in a file."""
    for match in re.finditer(rb"\x78\x01", data):
        try:
            if b"canary" in zlib.decompressobj().decompress(data[match.start() :]):
                return True
        except zlib.error:
            continue
    return False
