"""``modelmux chat``: questions with and without a server, what goes wrong in words, and what the history keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.cli.chat.conversation import ChatError, Conversation
from modelmux.cli.sanitize import strip_controls
from modelmux.store.directory.sqlite_directory import SqliteDirectory
from modelmux.upstream.pool import HttpPool
from support.cli import CommandResult, check_snapshot, run
from support.emulator_server import ThreadedEmulator, threaded
from support.http_peers import peer, replies
from support.processes import free_port
from support.stub_gateway import CHUNKS, as_json, stream, stub_gateway


@pytest.fixture(scope="module")
def emulator() -> Iterator[ThreadedEmulator]:
    with threaded() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(emulator: ThreadedEmulator) -> None:
    emulator.app.reset()


def direct(emulator: ThreadedEmulator, home: Path, *arguments: str, input: str | None = None) -> CommandResult:
    return run("chat", "--direct", *arguments, home=home, input=input, VERTEX_PROJECT="p", VERTEX_LOCATION="global",
               ANTHROPIC_VERTEX_BASE_URL=emulator.base_url, MODELMUX_AUTH_ACCESS_TOKEN="t",
               MODELMUX_API_KEYS="sk-own")  # fmt: skip


def last_request(emulator: ThreadedEmulator) -> Any:
    body = emulator.app.requests()[-1]["body"]
    return json.loads(bytes(body)) if not isinstance(body, dict) else body


def test_a_message_is_answered_without_a_server(emulator: ThreadedEmulator, tmp_path: Path) -> None:
    said = direct(emulator, tmp_path, "say exactly: grüße 🎉", "--system", "Be brief.", "-m", "claude-sonnet-4-6")
    assert (said.code, said.stdout, said.stderr) == (0, "grüße 🎉\n", "")
    body = last_request(emulator)
    assert body["system"][0]["text"] == "Be brief."
    assert emulator.app.requests()[-1]["path"].endswith("claude-sonnet-4-6:streamRawPredict")


def test_a_gateway_of_its_own_writes_no_keys(emulator: ThreadedEmulator, tmp_path: Path) -> None:
    config, store = tmp_path / "config.toml", SqliteDirectory(tmp_path / "accounts.db")
    config.write_text(
        f'[accounts]\nenabled = true\nstore = "sqlite:{store.path}"\n'
        f'[[accounts.keys]]\nname = "ci"\nsha256 = "{"ab" * 32}"\n'
    )
    said = direct(emulator, tmp_path, "say exactly: hi", "-m", "claude-sonnet-4-6", "--config", str(config))
    assert (said.code, said.stdout) == (0, "hi\n")
    assert store.load().version == 0


def test_a_pipe_is_one_question_and_verbose_says_what_it_cost(emulator: ThreadedEmulator, tmp_path: Path) -> None:
    said = direct(emulator, tmp_path, "-v", "-m", "claude-sonnet-4-6", input="say exactly: piped\n")
    assert said.stdout == "piped\n"
    assert said.stderr.startswith("usage: ")
    assert "claude-sonnet-4-6@global" in said.stderr


def test_the_first_model_listed_is_asked_where_none_is_named(emulator: ThreadedEmulator, tmp_path: Path) -> None:
    assert direct(emulator, tmp_path, "say exactly: x").stdout == "x\n"
    assert "claude-sonnet-5-5" in emulator.app.requests()[-1]["path"], "the everyday model"


@pytest.mark.parametrize(
    ("directive", "says"),
    [
        ("[[emulator: status=400 message='no good']]", "error: no good\n"),
        ("[[emulator: error_after_event=4 type=overloaded_error]]", "error: Overloaded\n"),
        ("[[emulator: truncate_after_event=4]]", "error: "),
    ],
)
def test_what_goes_wrong_is_one_line(emulator: ThreadedEmulator, tmp_path: Path, directive: str, says: str) -> None:
    said = direct(emulator, tmp_path, "--set", "retries.max=0", "-m", "claude-sonnet-4-6",
                  f"repeat after me: one two three {directive}")  # fmt: skip
    assert said.code == 1
    assert says in said.stderr
    assert "Traceback" not in said.stderr


def test_what_it_says_where_it_cannot_work(emulator: ThreadedEmulator, tmp_path: Path) -> None:
    port = free_port()
    check_snapshot(
        "chat_cannot",
        run("chat", "hi", "--url", f"http://127.0.0.1:{port}", home=tmp_path),
        run("chat", "hi", "--direct", home=tmp_path),
        run("chat", "hi", "--direct", "--url", "http://x", home=tmp_path),
        run("chat", "hi", "--url", "gateway:3000", home=tmp_path),
        run("chat", home=tmp_path, input=" \n"),
        direct(emulator, tmp_path, "hi", "-m", "claude-opuss-5"),
        run("chat", "hi", "-m", "x", "--url", emulator.base_url, home=tmp_path),
        replace={str(port): "PORT", emulator.base_url: "EMULATOR"},
    )


def test_a_url_may_end_with_the_path_of_a_request(tmp_path: Path) -> None:
    with stub_gateway({"POST /llm/v1/chat/completions": stream(CHUNKS)}) as stub:
        for end in ("", "/v1", "/v1/responses", "/v1/chat/completions/", "/v1/messages"):
            assert run("chat", "hi", "--url", f"{stub.url}/llm{end}", home=tmp_path).stdout == "Hello\n"
    assert {request.path for request in stub.received} == {"/llm/v1/models", "/llm/v1/chat/completions"}


def test_a_path_that_is_not_served_is_no_question_of_the_model(tmp_path: Path) -> None:
    with stub_gateway({"GET": as_json({"error": {"message": "There is no endpoint GET /x/v1/models."}}, 404)}) as stub:
        result = run("chat", "hi", "--url", stub.url, home=tmp_path)
    assert "`modelmux models`" not in result.stderr
    assert "\nhint: Check the URL" in result.stderr


def test_a_key_left_over_from_another_gateway_is_warned_of(tmp_path: Path) -> None:
    """The demo says `export MODELMUX_KEY=unused`."""
    with stub_gateway({"POST": stream(CHUNKS)}) as stub:
        port = ("--set", f"server.port={stub.url.rpartition(':')[2]}")
        keys = {"MODELMUX_API_KEYS": "sk-first,sk-second"}
        (stale, right, elsewhere) = (
            run("chat", "hi", *port, home=tmp_path, MODELMUX_KEY="unused", **keys),
            run("chat", "hi", *port, home=tmp_path, MODELMUX_KEY="sk-second", **keys),
            run("chat", "hi", "--url", stub.url, home=tmp_path, MODELMUX_KEY="sk-there", **keys),
        )
    assert "warning: MODELMUX_KEY is set, but not to one of server.api_keys" in stale.stderr
    assert "unset it, or set it to one of them" in stale.stderr
    assert "warning" not in right.stderr + elsewhere.stderr
    sent = [request.headers["authorization"] for request in stub.received]
    assert sent == [f"Bearer {key}" for key in ("sk-first", "sk-second", "sk-there") for _ in range(2)]


def test_a_virtual_key_of_the_variable_is_sent_beside_static_keys(tmp_path: Path) -> None:
    """The request is that of the person whose key it is, not of the first static key."""
    with stub_gateway({"POST": stream(CHUNKS)}) as stub:
        settings = ("--set", f"server.port={stub.url.rpartition(':')[2]}", "--set", "accounts.enabled=true")
        said = run("chat", "hi", *settings, home=tmp_path, MODELMUX_KEY="sk-mmx-own", MODELMUX_API_KEYS="sk-first")
    assert "warning" not in said.stderr
    assert {request.headers["authorization"] for request in stub.received} == {"Bearer sk-mmx-own"}


def talk(url: str, pool: HttpPool) -> Conversation:
    return Conversation(pool, url, model="m", system="S")


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: %s\n\n" % (json.dumps(c).encode() if c != "[DONE]" else b"[DONE]") for c in chunks)


def delta(**fields: str) -> dict[str, Any]:
    return {"choices": [{"delta": fields}]}


def reply(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


async def test_the_history_goes_along_and_an_error_leaves_no_trace() -> None:
    good = reply(sse(delta(reasoning_content="hm"), delta(content="a"), delta(content="b"), "[DONE]"))
    bad = reply(sse(delta(content="x"), {"error": {"message": "It broke."}}))
    async with peer(replies(good, bad, reply(sse(delta(content="cut"))), good)) as (origin, _):
        pool = HttpPool()
        conversation = talk(f"http://127.0.0.1:{origin.port}/v1", pool)
        shown: list[tuple[str, str]] = []
        await conversation.send("one", lambda kind, text: shown.append((kind, text)))
        assert shown == [("reasoning", "hm"), ("text", "a"), ("text", "b")]
        kept = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "ab"}]
        assert conversation.history == kept
        for message in ("It broke", "the answer ended early"):
            with pytest.raises(ChatError) as caught:
                await conversation.send("two", lambda *_: None)
            assert caught.value.message == message
        assert conversation.history == kept
        await conversation.send("three", lambda *_: None)
        await pool.aclose()
    assert len(conversation.history) == 4


async def test_a_stopped_answer_is_kept_as_far_as_it_came_and_the_connection_closed() -> None:
    async with threaded_slow() as (url, closed):
        pool = HttpPool()
        conversation = talk(url, pool)
        first = asyncio.Event()
        asking = asyncio.ensure_future(conversation.send("one", lambda *_: first.set()))
        await asyncio.wait_for(first.wait(), 100)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(closed.wait(), 100)
        assert conversation.history[-1] == {"role": "assistant", "content": "begun"}
        await pool.aclose()


class threaded_slow:
    """A gateway that begins an answer and never goes on; ``closed`` is set when its client leaves."""

    async def __aenter__(self) -> tuple[str, asyncio.Event]:
        closed = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + sse(delta(content="begun")))
            while await reader.read(1024):
                pass
            closed.set()
            writer.close()

        self._server = await asyncio.start_server(answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}", closed

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()


def test_an_answer_cannot_steer_the_terminal() -> None:
    assert strip_controls("a\x1b[2Jb\rc\x9b1m\n\td 👩‍👩‍👧 é") == "a[2Jbc1m\n\td 👩‍👩‍👧 é"
