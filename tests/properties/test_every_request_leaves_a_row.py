"""Every request that calls an upstream leaves one row of the ledger, however it ended, with what it cost.

Risk: a path, a stream or a failure that is not metered; a cost that is not the usage times the price.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.cost import TokenCounts
from modelmux.accounts.entry import Entry
from modelmux.app import Gateway
from modelmux.config import Config, ConfigError
from modelmux.dialects.registry import SURFACES, Surface
from modelmux.errors import UpstreamUnreachable
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.ledger.writer import LedgerWriter
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import HttpCall
from properties.test_registry import CALLING, GENERATING, KEY, KEYS, REQUESTS, by_surface, name_of, path_of, reply_of
from support.asgi import request
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
from support.gateway import MODEL, gateway
from support.log_lines import Lines

HI = [{"role": "user", "content": "Hi"}]
#: Operations that cost nothing and leave no row.
FREE = {
    "page", "list_models", "websocket", "get_response", "delete_response", "list_input_items", "cancel_response",
    "read_key", "read_key_usage",
}  # fmt: skip
#: USD per million tokens of Claude Sonnet 4.6 are 3 and 15, so nano-USD per token are 3,000 and 15,000.
SEVEN_AND_THREE = 7 * 3_000 + 3 * 15_000


def metered(upstream: FakeUpstream | HttpPool, folder: Path, **settings: Any) -> Gateway:
    accounts = {"enabled": True, "store": f"sqlite:{folder}/ledger.db", **settings.pop("accounts", {})}
    return gateway(upstream, accounts=accounts, **settings)


async def rows_of(app: Gateway, folder: Path) -> list[Entry]:
    """The rows after the gateway has ended."""
    await app.aclose()
    ledger = SqliteLedger(folder / "ledger.db")
    try:
        return (await ledger.entries(EntryQuery())).entries
    finally:
        await ledger.aclose()


async def ask(app: Gateway, surface: Surface, **changes: Any) -> Any:
    limit = "max_output_tokens" if surface.dialect.name == "openai_responses" else "max_tokens"
    body = dict(REQUESTS[surface.dialect.name])
    body |= {"model": MODEL} if surface.operation == "count_tokens" else {limit: 1_000}
    body |= changes.pop("fields", {})
    return await request(app, surface.method, path_of(surface), body, KEY | changes.pop("headers", {}), **changes)


def test_a17_every_operation_is_metered_or_listed_as_free() -> None:
    assert {surface.operation for surface in SURFACES if surface not in CALLING} == FREE


@by_surface(GENERATING)
async def test_a_reply_costs_its_usage(surface: Surface, tmp_path: Path) -> None:
    app = metered(FakeUpstream([reply_of(surface)]), tmp_path, **KEYS)
    response = await ask(app, surface, headers={"x-request-id": "mine", "user-agent": "tester/1.2 (linux)"})
    assert response.status == 200
    (row,) = await rows_of(app, tmp_path)
    assert (row.outcome, row.status, row.code, row.key) == ("ok", 200, None, "static_1")
    assert (row.dialect, row.operation) == (surface.dialect.name, surface.operation)
    assert row.counts == TokenCounts(input=7, output=3)
    assert row.cost is not None
    assert row.cost.total == SEVEN_AND_THREE
    assert (row.model, row.location, row.estimated) == (MODEL, "global", False)
    assert row.price == f"{MODEL}/launch/global"
    assert [(one.result, one.counts) for one in row.attempts] == [("ok", row.counts)]
    assert [(one.model, one.location, one.price, one.fast) for one in row.attempts] == [
        (MODEL, "global", row.price, False)
    ]
    assert (row.client_request_id, row.agent) == ("mine", "tester/1.2")
    assert row.request_bytes > 0
    assert row.response_bytes == len(response.body)


async def test_fast_mode_is_in_a_row_whose_price_is_unknown(tmp_path: Path) -> None:
    surface = next(surface for surface in GENERATING if surface.dialect.name == "anthropic_messages")
    reply = message_reply("Hi", usage={"input_tokens": 7, "output_tokens": 3, "speed": "fast"})
    app = metered(FakeUpstream([reply]), tmp_path, **KEYS)
    assert (await ask(app, surface)).status == 200
    (row,) = await rows_of(app, tmp_path)
    counts = app.metering.counts()
    assert (counts.unpriced, counts.waiting, counts.lost, counts.underrun) == (1, 0, 0, 0.0), "it is counted"
    assert row.cost is None, "the model has no fast mode in the price list"
    assert [(one.fast, one.price) for one in row.attempts] == [(True, None)]


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_model_without_a_price_is_logged_at_a_start(enabled: bool, tmp_path: Path) -> None:
    models = [{"name": "next", "model": "claude-next"}, {"name": "old", "model": MODEL}]
    settings = {
        "vertex": {"project": "p", "location": "global", "models": models},
        "accounts": {"enabled": enabled, "store": f"sqlite:{tmp_path}/ledger.db"},
    }
    log = Lines()
    app = Gateway(Config.from_dict(settings), log=log, upstream=FakeUpstream([]), tokens=FakeTokens())
    told = [fields["route"] for _, fields in log.warnings if "has no price" in fields["message"]]
    assert told == (["next"] if enabled else [])
    await app.aclose()


@by_surface([surface for surface in CALLING if surface.operation == "count_tokens"])
async def test_counting_tokens_is_free(surface: Surface, tmp_path: Path) -> None:
    app = metered(FakeUpstream([reply_of(surface)]), tmp_path, **KEYS)
    assert (await ask(app, surface)).status == 200
    (row,) = await rows_of(app, tmp_path)
    assert (row.operation, row.counts, row.price) == ("count_tokens", TokenCounts(), None)
    assert row.cost is not None
    assert row.cost.total == 0


def _streams(surface: Surface) -> bool:
    return surface.dialect.name != "vertex_raw" and not surface.path.endswith("/compact")


STREAMING = [surface for surface in GENERATING if _streams(surface)]


@by_surface(STREAMING)
async def test_a27_a_stream_costs_its_usage(surface: Surface, tmp_path: Path) -> None:
    app = metered(FakeUpstream([stream_reply(*text_events("Hel", "lo"))]), tmp_path, **KEYS)
    assert (await ask(app, surface, fields={"stream": True})).complete
    (row,) = await rows_of(app, tmp_path)
    assert (row.outcome, row.stream, row.estimated) == ("ok", True, False)
    assert row.counts == TokenCounts(input=7, output=3)
    assert row.cost is not None
    assert row.cost.total == SEVEN_AND_THREE
    assert row.first_content is not None
    assert row.first_content <= row.duration


@by_surface(STREAMING)
async def test_a_broken_stream_costs_what_came(surface: Surface, tmp_path: Path) -> None:
    events = text_events("a" * 300, "b" * 300)
    app = metered(FakeUpstream([stream_reply(*events[:5])]), tmp_path, **KEYS, retries={"max": 0})
    await ask(app, surface, fields={"stream": True})
    (row,) = await rows_of(app, tmp_path)
    assert (row.outcome, row.estimated) == ("upstream_error", True)
    assert row.counts.input == 7, "the upstream reported its input"
    assert 600 / 3 <= row.counts.output <= 600 / 3 * 1.2


async def test_what_the_upstream_refused_costs_nothing(tmp_path: Path) -> None:
    replies = [error_reply(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}})]
    app = metered(FakeUpstream(replies), tmp_path)
    (surface,) = (one for one in GENERATING if one.path == "/v1/chat/completions")
    assert (await ask(app, surface)).status == 400
    (row,) = await rows_of(app, tmp_path)
    assert (row.outcome, row.status, row.counts, row.key) == ("client_error", 400, TokenCounts(), "anonymous")
    assert row.cost is not None
    assert row.cost.total == 0
    assert row.attempts[0].counts is None


async def test_a30_a_retry_is_one_row_with_two_attempts(tmp_path: Path) -> None:
    replies: list[FakeReply | UpstreamUnreachable] = [UpstreamUnreachable("refused"), message_reply()]
    app = metered(FakeUpstream(replies), tmp_path)
    (surface,) = (one for one in GENERATING if one.path == "/v1/messages")
    assert (await ask(app, surface)).status == 200
    (row,) = await rows_of(app, tmp_path)
    assert [one.counts for one in row.attempts] == [None, TokenCounts(input=7, output=3)]
    assert row.cost is not None
    assert row.cost.total == SEVEN_AND_THREE


async def test_a24_a_client_that_leaves_before_the_first_event_pays_its_prompt(tmp_path: Path) -> None:
    waiting = asyncio.Event()

    async def never(call: HttpCall) -> Any:
        assert call.on_sent is not None
        call.on_sent()
        waiting.set()
        await asyncio.sleep(3600)

    upstream = FakeUpstream([])
    upstream.send = never  # type: ignore[method-assign]
    app = metered(upstream, tmp_path)
    (surface,) = (one for one in GENERATING if one.path == "/v1/chat/completions")
    gone = asyncio.Event()
    task = asyncio.create_task(
        ask(app, surface, fields={"messages": [{"role": "user", "content": "word " * 1000}]}, disconnect=gone)
    )
    await waiting.wait()
    gone.set()
    await task
    (row,) = await rows_of(app, tmp_path)
    assert (row.outcome, row.status, row.estimated) == ("client_gone", 499, True)
    assert [one.result for one in row.attempts] == ["client_gone"]
    assert 1000 <= row.counts.input <= 2500
    assert row.counts.output == 0
    assert row.cost is not None
    assert row.cost.total == 3_000 * row.counts.input


async def test_a_call_whose_connection_never_opened_costs_nothing(tmp_path: Path) -> None:
    """The upstream accepts TCP, and never answers the TLS handshake."""
    accepted, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = HttpPool()
    settings = {"vertex": {"project": "p", "location": "global", "base_url": f"https://127.0.0.1:{port}"}}
    app = metered(pool, tmp_path, **settings)
    (surface,) = (one for one in GENERATING if one.path == "/v1/chat/completions")
    task = asyncio.create_task(ask(app, surface, disconnect=gone))
    await accepted.wait()
    gone.set()
    await task
    (row,) = await rows_of(app, tmp_path)
    await pool.aclose()
    server.close()
    assert (row.outcome, row.counts, row.estimated) == ("client_gone", TokenCounts(), False)
    assert [one.result for one in row.attempts] == ["client_gone"]


ROUNDS: list[dict[str, object]] = [
    {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500},
    {"type": "message", "input_tokens": 7, "output_tokens": 3},
]
COMPACTED = TokenCounts(input=180_007, output=3_503)


@by_surface(GENERATING)
async def test_compaction_is_billed_and_does_not_change_the_usage_of_clients(surface: Surface, tmp_path: Path) -> None:
    usage = {"input_tokens": 7, "output_tokens": 3}
    replies = [message_reply(usage=usage), message_reply(usage=usage | {"iterations": ROUNDS})]
    if "stream" in surface.path.lower():
        replies = [stream_reply(*text_events("Hi")), stream_reply(*_compacted(text_events("Hi")))]
    app = metered(FakeUpstream(replies), tmp_path)
    plain, compacted = [await ask(app, surface) for _ in range(2)]
    before, after = await rows_of(app, tmp_path)
    assert (before.counts, after.counts) == (TokenCounts(input=7, output=3), COMPACTED)
    assert after.cost is not None
    assert after.cost.total == 180_007 * 3_000 + 3_503 * 15_000
    assert [one.counts.input for one in after.attempts[0].rounds] == [180_000, 7]
    assert before.attempts[0].rounds == ()
    if not surface.dialect.name.startswith(("anthropic", "vertex")):
        assert plain.json()["usage"] == compacted.json()["usage"]


def _compacted(events: list[bytes]) -> list[bytes]:
    end = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3, "iterations": ROUNDS})
    return [*events[:-2], end, events[-1]]


@by_surface(STREAMING)
async def test_compaction_in_a_stream_is_billed(surface: Surface, tmp_path: Path) -> None:
    app = metered(FakeUpstream([stream_reply(*_compacted(text_events("Hi")))]), tmp_path)
    assert (await ask(app, surface, fields={"stream": True})).complete
    (row,) = await rows_of(app, tmp_path)
    assert (row.counts, row.estimated) == (COMPACTED, False)


START, PING, BLOCK, *_ = text_events()
SEARCH = {"type": "web_search_tool_result", "tool_use_id": "t", "content": [{"encrypted_content": "x" * 60_000}]}
DELTAS: list[dict[str, str]] = [
    {"type": "text_delta", "text": "ä" * 30},
    {"type": "thinking_delta", "thinking": "t" * 30},
    {"type": "input_json_delta", "partial_json": "j" * 30},
]
UNWRITTEN = [
    event("content_block_start", index=1, content_block=SEARCH),
    event("content_block_start", index=2, content_block={"type": "redacted_thinking", "data": "x" * 3_000}),
    event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s" * 3_000}),
]


@by_surface(STREAMING)
@pytest.mark.parametrize(
    ("events", "output"),
    [
        ([START], 0),
        ([START, PING, BLOCK, event("content_block_delta", index=0, delta=DELTAS[0])], 11),
        ([START, BLOCK, *(event("content_block_delta", index=0, delta=DELTAS[0]) for _ in range(9))], 91),
        ([START, BLOCK, *(event("content_block_delta", index=0, delta=delta) for delta in DELTAS), *UNWRITTEN], 31),
        ([START, *UNWRITTEN, event("message_delta", delta={}, usage={"output_tokens": 40})], 40),
    ],
    ids=["nothing", "a delta", "a run", "what the model did not write", "reported"],
)
@pytest.mark.parametrize("end", [(), (event("error", error={"type": "overloaded_error", "message": "x"}),)])
async def test_a25_what_broke_off_is_charged_for_what_the_model_wrote(
    surface: Surface, events: list[bytes], output: int, end: tuple[bytes, ...], tmp_path: Path
) -> None:
    app = metered(
        FakeUpstream([stream_reply(b"".join(events[:1]), b"".join([*events[1:], *end]))]), tmp_path, retries={"max": 0}
    )
    await ask(app, surface, fields={"stream": True})
    (row,) = await rows_of(app, tmp_path)
    assert row.estimated
    assert (row.counts.input, row.counts.output) == (7, output)


@by_surface(GENERATING)
async def test_a_row_names_the_message_and_the_request_id_of_the_client(surface: Surface, tmp_path: Path) -> None:
    replies = [reply_of(surface), reply_of(surface)]
    for reply in replies:
        reply.headers = [*reply.headers, (b"request-id", b"req_vrtx_9")]
    app = metered(FakeUpstream(replies), tmp_path)
    await ask(app, surface, headers={"x-request-id": "mine"})
    await ask(app, surface)
    rows = await rows_of(app, tmp_path)
    assert [(row.client_request_id, row.upstream_id) for row in rows] == [
        ("mine", "msg_vrtx_1"), (None, "msg_vrtx_1"),
    ]  # fmt: skip


async def test_a_request_that_is_not_valid_leaves_a_row_without_cost(tmp_path: Path) -> None:
    app = metered(FakeUpstream([]), tmp_path)
    assert (await request(app, "POST", "/v1/chat/completions", {"model": MODEL, "messages": 1})).status == 400
    (row,) = await rows_of(app, tmp_path)
    assert (row.outcome, row.status, row.attempts, row.model) == ("client_error", 400, (), None)
    assert row.code == "bad_request", "an error without a code of its own is named by its kind"


CLAIMS: dict[str, dict[str, Any]] = {
    "openai_chat": {"user": "ada", "metadata": {"app": "chat", "n": "1"}},
    "openai_responses": {"safety_identifier": "ada", "metadata": {"app": "chat"}},
    "anthropic_messages": {"metadata": {"user_id": "ada"}},
    "vertex_raw": {"metadata": {"user_id": "ada"}},
}


@pytest.mark.parametrize("surface", {one.dialect.name: one for one in GENERATING}.values(), ids=name_of)
@pytest.mark.parametrize("form", ["plain", "hashed"])
async def test_a50_a51_one_attribution_for_all_dialects(surface: Surface, form: str, tmp_path: Path) -> None:
    accounts = {"end_user": form, "end_user_headers": ["X-Person"]}
    app = metered(FakeUpstream([reply_of(surface), reply_of(surface)]), tmp_path, accounts=accounts)
    fields = CLAIMS[surface.dialect.name]
    await ask(app, surface, fields=fields, headers={"x-modelmux-tags": "app=mine,env=prod"})
    await ask(app, surface, fields=fields, headers={"x-person": "grace@example.org"})
    body, header = await rows_of(app, tmp_path)
    assert dict(body.tags) | {"app": "mine", "env": "prod"} == dict(body.tags)
    if form == "plain":
        assert (body.end_user, header.end_user) == ("ada", "grace@example.org")
    else:
        assert body.end_user is not None
        assert len(body.end_user) == 32
        assert body.end_user != header.end_user
    assert b"grace" not in app._upstream.calls[1].body  # type: ignore[attr-defined]


async def test_a47_the_writer_is_not_asked_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the response is sent, a row is only put in line."""
    written: list[Sequence[Entry]] = []

    async def append(self: SqliteLedger, entries: Sequence[Entry]) -> None:
        written.append(entries)

    monkeypatch.setattr(SqliteLedger, "append", append)
    app = metered(FakeUpstream([message_reply()]), tmp_path)
    made: list[object] = []
    monkeypatch.setattr(LedgerWriter, "_make_some", lambda self: made.append(self._new.popleft()))
    (surface,) = (one for one in GENERATING if one.path == "/v1/chat/completions")
    assert (await ask(app, surface)).status == 200
    assert (written, made) == ([], [])
    await app.aclose()


def test_a_ledger_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigError) as caught:
        metered(FakeUpstream([]), tmp_path)
    assert "accounts.store" in str(caught.value)
    assert "writable" in (caught.value.hint or "")


def test_off_means_off(tmp_path: Path) -> None:
    app = gateway(FakeUpstream([]), accounts={"store": f"sqlite:{tmp_path}/ledger.db"})
    assert app.metering.meters(Config(), str, bytes) == ((), None, None, None)
    assert not (tmp_path / "ledger.db").exists()
