"""What users of other gateways suffered from, threads 1 to 44: our guarantee for each, seen from outside."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.draft import SignedThinking
from modelmux.config import Config, ConfigError, build_routes
from modelmux.errors import UpstreamBroken, UpstreamTimeout
from modelmux.gateway.thinking_store import MemoryThoughts
from modelmux.upstream.google_auth.loaders import service_account_info
from modelmux.upstream.google_auth.tokens import GoogleTokens
from modelmux.wire.anthropic import ThinkingBlock
from support.asgi import Response, request
from support.credentials_env import clean_environment
from support.fakes import (
    SSE_HEADERS,
    FakeReply,
    FakeUpstream,
    error_reply,
    event,
    message_reply,
    stream_reply,
    text_events,
)
from support.gateway import PATH, ask, gateway
from support.lessons import (
    BUDGET,
    NEW,
    USER,
    answer,
    begin,
    call,
    closing,
    delta,
    end,
    opening,
    result,
    text,
    thought,
    tool,
    tool_use,
)
from support.lessons import ask as converse
from support.lessons_more import broken, data_url, marked, picture
from support.slow import SlowReply
from support.token_endpoint import TokenEndpoint

OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
TWO_PLACES = {"models": [{"name": "m", "model": "claude-sonnet-4-6", "locations": ["global", "eu"]}]}
BIG = "All work and no play. " * 600


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting between attempts takes no time, and is noted."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr("modelmux.app.asyncio.sleep", sleep)
    return seconds


def quota(status: int = 429, name: str = "RESOURCE_EXHAUSTED") -> FakeReply:
    return error_reply(status, [{"error": {"code": status, "message": "Quota exceeded.", "status": name}}])


def tokens(app: Any, kind: str, route: str = "claude-sonnet-4-6") -> float:
    return app.metrics.registry.get_sample_value("modelmux_tokens_total", {"route": route, "kind": kind}) or 0.0


class Held(FakeReply):
    """A stream that says ``said`` and then waits, until it is closed."""

    def __init__(self, *said: bytes) -> None:
        super().__init__(200, SSE_HEADERS, said)
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()

    async def _iterate(self) -> Any:
        async for piece in super()._iterate():
            yield piece
        self.reached.set()
        await self.let_go.wait()

    async def read(self, limit: int) -> bytes:
        self.reached.set()
        await self.let_go.wait()
        raise UpstreamBroken("never", reply_started=True)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    clean_environment(monkeypatch, tmp_path)
    with TokenEndpoint() as running:
        yield running


async def test_g1_an_expiry_under_load_costs_one_refresh(google: TokenEndpoint) -> None:
    source = GoogleTokens(service_account_info(google.service_account()))
    google.latency = 0.1
    assert len(set(await asyncio.gather(*(source.token() for _ in range(500))))) == 1
    old = await source.token()
    assert len(set(await asyncio.gather(*(source.renew(old) for _ in range(500))))) == 1
    await source.aclose()
    assert len(google.granted) == 2


async def test_g2_a_refresh_never_holds_the_loop_up(google: TokenEndpoint) -> None:
    source, google.latency = GoogleTokens(service_account_info(google.service_account())), 0.3
    waiting, ticks = asyncio.create_task(source.token()), 0
    while not waiting.done():
        await asyncio.sleep(0.005)
        ticks += 1
    await source.aclose()
    assert ticks > 15, "the loop stood still while the token was fetched"
    assert threading.current_thread() is threading.main_thread()


async def test_g3_a_refused_token_is_renewed_and_the_client_never_knows() -> None:
    refused = error_reply(401, {"error": {"code": 401, "message": "expired", "status": "UNAUTHENTICATED"}})
    upstream = FakeUpstream([refused, message_reply("fine")])
    response = await request(gateway(upstream), "POST", PATH, ask())
    assert response.status == 200
    used = [dict(made.headers)[b"authorization"] for made in upstream.calls]
    assert used == [b"Bearer token-1", b"Bearer token-2"]


async def test_g4_a_quota_that_never_clears_ends_and_says_where_to_look(waited: list[float]) -> None:
    upstream = FakeUpstream([quota() for _ in range(20)])
    response = await request(gateway(upstream), "POST", PATH, ask())
    assert response.status == 429
    assert response.json()["error"]["type"] == "rate_limit_error"
    assert "uota" in response.json()["error"]["message"]
    assert len(upstream.calls) <= 4
    assert sum(waited) < 30


async def test_g4_a_quota_of_zero_is_known_for_what_it_is(waited: list[float]) -> None:
    """Every request is refused alike and nothing ever succeeded: soon nobody waits, and the answer is the remedy."""
    upstream = FakeUpstream([quota() for _ in range(20)])
    app = gateway(upstream)
    for _ in range(5):
        response = await request(app, "POST", PATH, ask())
    assert len(upstream.calls) <= 4
    assert response.json()["error"]["code"] == "insufficient_quota"
    assert "Quotas & System Limits" in response.json()["error"]["message"]
    assert response.headers["x-should-retry"] == "false"


async def test_g5_a_full_place_is_left_for_another_at_once(waited: list[float]) -> None:
    upstream = FakeUpstream([quota(), message_reply("from elsewhere")])
    app = gateway(upstream, vertex=TWO_PLACES)
    response = await request(app, "POST", PATH, ask() | {"model": "m"})
    assert response.status == 200
    assert len({made.origin.host for made in upstream.calls}) == 2
    assert not waited


async def test_g6_a_conversation_stays_where_its_prompt_is_cached() -> None:
    places = [{"location": name} for name in ("eu", "us", "global")]
    models = [{"name": "m", "model": "claude-sonnet-4-6", "deployments": places}]
    app = gateway(FakeUpstream([message_reply() for _ in range(90)]), vertex={"models": models})
    everywhere = set()
    for number in range(15):
        messages: list[Any] = [{"role": "system", "content": BIG}, {"role": "user", "content": f"Question {number}"}]
        went = set()
        for _ in range(3):
            response = await request(app, "POST", PATH, ask() | {"model": "m", "messages": messages})
            went.add(response.headers["x-modelmux-deployment"])
            messages = [*messages, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}]
        assert len(went) == 1, "each turn finds the cache of the turn before"
        everywhere |= went
    assert len(everywhere) == 3, "and conversations are shared out"


def test_g7_what_may_be_cached_is_known_for_each_model() -> None:
    least = {card.id: card.cache_minimum for card in builtin().cards}
    assert len(least) > 5
    assert all(tokens >= 512 for tokens in least.values())
    assert len(set(least.values())) > 1, "it differs between models"


async def test_g8_a_turn_begins_as_the_turn_before_it_was() -> None:
    turns: list[Any] = [{"role": "system", "content": "Be brief."}, USER]
    sent = []
    for number in range(4):
        got = await converse(messages=turns, tools=[tool()])
        sent.append(got.sent)
        late = {"role": "system", "content": "The time is noon."}
        turns = [*turns, {"role": "assistant", "content": f"Answer {number}"}, late, USER]
    for before, after in itertools.pairwise(sent):
        assert (before["system"], before["tools"]) == (after["system"], after["tools"])
        assert after["messages"][: len(before["messages"])] == before["messages"]


async def test_g9_a_breakpoint_is_kept_wherever_it_stands() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    got = await converse(
        messages=[
            {"role": "system", "content": [text("Long.", **mark)]},
            {"role": "user", "content": [{**picture(data_url()), **mark}, text("?")]},
            {"role": "assistant", "content": None, "tool_calls": [call()]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": [text("20", **mark)]},
        ],
        tools=[{**tool(), **mark}],
    )
    assert len(marked(got.sent)) == 4


async def test_g10_clients_that_know_nothing_of_caching_get_it() -> None:
    on = await converse(settings={"vertex": {"caching": True}}, tools=[tool(description=BIG)])
    off = await converse(tools=[tool(description=BIG)])
    assert marked(on.sent)
    assert not marked(off.sent)


async def test_g11_every_token_is_counted_once() -> None:
    counts = {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 3000,
        "output_tokens": 4,
    }
    for stream in (False, True):
        more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        got = await converse(answer(text("Hello"), usage=counts, stream=stream), **more)
        usage = got.usage
        assert usage["prompt_tokens"] == 3210
        assert usage["completion_tokens"] == 4
        assert usage["total_tokens"] == 3214
        assert usage["prompt_tokens_details"]["cached_tokens"] == 200
        kinds = {kind: tokens(got.app, kind) for kind in ("input", "cache_read", "cache_write", "output")}
        assert kinds == {"input": 10, "cache_read": 200, "cache_write": 3000, "output": 4}


async def test_g12_what_leaves_for_other_systems_has_the_split() -> None:
    counts = {"input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 4, "output_tokens": 8}
    got = await converse(answer(text("Hello"), usage=counts))
    page = (await request(got.app, "GET", "/metrics")).body.decode()
    for kind, count in (("input", 1), ("cache_read", 2), ("cache_write", 4), ("output", 8)):
        assert f'modelmux_tokens_total{{kind="{kind}",route="claude-sonnet-4-6"}} {count}.0' in page


async def test_g13_a_cut_stream_is_counted_as_far_as_it_came() -> None:
    got = await converse(stream_reply(opening(), begin(0, text("")), delta(0, "text_delta", text="Hel")), stream=True)
    broken(got)
    assert tokens(got.app, "input") == 7
    assert got.app.metrics.failed == 1
    assert sum(m.value for f in got.app.metrics.requests.collect() for m in f.samples if m.name.endswith("_total")) == 1


async def _leave(reply: Held, **fields: Any) -> tuple[float, Any]:
    """Seconds from the client's leaving to the close of the upstream's reply, and the application."""
    gone = asyncio.Event()
    app = gateway(FakeUpstream([reply]))
    asking = asyncio.create_task(request(app, "POST", PATH, ask(**fields), disconnect=gone))
    await asyncio.wait_for(reply.reached.wait(), 5)
    began = time.perf_counter()
    gone.set()
    await asyncio.wait_for(asking, 5)
    assert reply.closed == 1
    return time.perf_counter() - began, app


async def test_g14_when_the_client_leaves_the_upstream_stops() -> None:
    said = text_events("Hello")[:4]
    took, app = await _leave(Held(*said), stream=True)
    assert took < 0.1
    assert tokens(app, "input") == 7


async def test_g15_before_the_first_token_too() -> None:
    took, _ = await _leave(Held(), stream=True)
    assert took < 0.1
    took, _ = await _leave(Held(text_events("x")[0]), stream=True)
    assert took < 0.1


async def test_g16_and_where_no_stream_is_asked_for() -> None:
    for path in (PATH, "/chat/completions"):
        reply = Held()
        reply.headers = [(b"content-type", b"application/json")]
        took, app = await _leave(reply)
        assert took < 0.1, path
        assert app.metrics.in_flight == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_g17_overloaded_inside_a_stream_is_cured_while_nothing_was_said(
    stream: bool, waited: list[float]
) -> None:
    first = stream_reply(opening(), OVERLOADED)
    fields = {"stream": True} if stream else {"max_tokens": 60_000}
    got = await converse(first, answer(text("fine"), stream=True), **fields)
    assert got.status == 200
    assert got.message["content"] == "fine"
    assert got.response.headers["x-modelmux-attempts"] == "2"


@pytest.mark.parametrize("pieces", [[], [opening()], [UpstreamBroken("reset", reply_started=True)], [b"data: {\n\n"]])
async def test_g18_reading_the_first_event_belongs_to_the_attempt(pieces: list[Any], waited: list[float]) -> None:
    got = await converse(stream_reply(*pieces), answer(text("fine"), stream=True), stream=True)
    assert got.message["content"] == "fine"


async def test_g19_attempts_end(waited: list[float]) -> None:
    for more in (100, 3):
        upstream = FakeUpstream([stream_reply(opening(), OVERLOADED) for _ in range(200)])
        app = gateway(upstream, server={"max_retry_attempts": more})
        response = await request(app, "POST", PATH, ask(stream=True))
        assert response.status >= 500
        assert len(upstream.calls) <= more + 1
        assert app.metrics.in_flight == 0


async def test_g20_without_retries_there_are_none_in_any_state(waited: list[float]) -> None:
    for reply in (quota(), stream_reply(opening(), OVERLOADED), stream_reply(), stream_reply(*text_events("x")[:4])):
        upstream = FakeUpstream([reply, message_reply()])
        app = gateway(upstream, server={"enable_retries": False}, vertex=TWO_PLACES)
        await request(app, "POST", PATH, ask(stream=True) | {"model": "m"})
        assert len(upstream.calls) == 1
        assert not waited


@pytest.mark.parametrize("kept", [4, 5, 6])
async def test_g21_a_stream_without_its_end_is_no_answer(kept: int) -> None:
    got = await converse(stream_reply(*text_events("Hello")[:kept]), stream=True)
    chunks, error = broken(got)
    assert error["code"] == "upstream_broken"
    assert b"[DONE]" not in got.response.body
    assert chunks


async def test_g22_a_late_first_byte_need_not_be_late_for_the_client() -> None:
    """Head and comment go out after the time that is configured, and still nothing was promised: a failure before
    content is retried."""
    late, good = SlowReply(0.2, UpstreamBroken("reset", reply_started=True)), stream_reply(*text_events("fine"))
    app = gateway(FakeUpstream([late, good]), streaming={"keep_alive": "50ms"}, vertex=TWO_PLACES)
    response = await request(app, "POST", PATH, ask(stream=True) | {"model": "m"})
    assert response.body.startswith(b": ping\n\n")
    assert response.events()[-1] == "[DONE]"


async def test_g23_what_comes_in_goes_out_before_more_comes() -> None:
    """Every event is with the client while the upstream has not said the next."""
    pieces, seen = text_events(*"abcdefgh"), []
    body = bytearray()

    class Watched(FakeReply):
        async def _iterate(self) -> Any:
            for piece in pieces:
                seen.append(body.count(b'"content":"') - body.count(b'"content":""'))
                yield piece

    app = gateway(FakeUpstream([Watched(200, SSE_HEADERS, [])]), streaming={"mode": "standard"})
    raw = json.dumps(ask(stream=True)).encode()

    async def receive() -> Any:
        if not seen:
            return {"type": "http.request", "body": raw, "more_body": False}
        await asyncio.Event().wait()
        return None

    async def send(message: Any) -> None:
        body.extend(message.get("body", b""))

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "query_string": b"", "http_version": "1.1"}
    await app(scope, receive, send)
    assert body.endswith(b"data: [DONE]\n\n")
    told = seen[4:12]  # when the second piece of text is read, the first has been sent, and so on
    assert told == sorted(told)
    assert told[-1] >= 7
    assert told[0] <= 1


async def test_g24_silent_thinking_is_not_taken_for_a_dead_connection() -> None:
    pieces = [*text_events("a", "b")[:4], 0.2, *text_events("a", "b")[4:]]
    app = gateway(FakeUpstream([SlowReply(*pieces)]), streaming={"keep_alive": "50ms"})
    response = await request(app, "POST", PATH, ask(stream=True))
    assert response.body.count(b": ping\n\n") >= 2
    assert response.events()[-1] == "[DONE]"
    assert Config().streaming.keep_alive == 15, "by default, below the 60 s of common proxies"


async def test_g25_a_silent_upstream_ends_in_an_error_not_in_silence() -> None:
    start = text_events("Hello")[:4]
    got = await converse(stream_reply(*start, UpstreamTimeout("Nothing came for 300 s.", clock="idle")), stream=True)
    _, error = broken(got)
    assert error["code"] == "upstream_timeout"
    assert 0 < got.upstream.calls[0].timeouts.idle <= 600
    assert 0 < got.upstream.calls[0].timeouts.first_byte <= 900


async def test_g26_calls_side_by_side_stay_two() -> None:
    blocks = [text("Both."), tool_use("toolu_1"), tool_use("toolu_2", value={"city": "Rome"})]
    got = await converse(answer(*blocks, stop_reason="tool_use", stream=True), stream=True, tools=[tool()])
    assert [json.loads(made["function"]["arguments"])["city"] for made in got.message["tool_calls"]] == [
        "Paris",
        "Rome",
    ]


async def test_g27_pieces_of_any_size_cost_the_same() -> None:
    whole = b"".join([opening(), begin(0, text("")), delta(0, "text_delta", text="x" * 400_000), end(0), *closing()])
    seconds = []
    for size in (len(whole), 1000):
        pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
        began = time.process_time()
        got = await converse(stream_reply(*pieces), stream=True)
        seconds.append(time.process_time() - began)
        assert len(got.message["content"]) == 400_000
    assert seconds[1] < 10 * seconds[0] + 0.5, "time grows with the square of an event's length"


async def test_g28_structure_is_asked_for_natively_or_its_loss_is_told() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema}}
    native = await converse(model=NEW, response_format=form, tools=[tool()])
    assert native.sent["output_config"]["format"]["type"] == "json_schema"
    older = await converse(model="claude-opus-4-1", response_format=form)
    assert older.status == 200
    assert "output_config" not in older.sent
    assert older.notices or older.sent.get("tools")


async def test_g29_a_beta_nobody_asked_us_for_is_not_forwarded() -> None:
    got = await converse(headers={"anthropic-beta": "brand-new-2027-01-01,another-2026-12-31"})
    assert got.status == 200
    assert got.betas is None


async def test_g30_a_feature_brings_the_beta_it_needs_and_no_other() -> None:
    plain = await converse()
    assert plain.betas is None
    card = builtin().card(BUDGET)
    got = await converse(model=BUDGET, tools=[tool()], reasoning_effort="low")
    for beta in (got.betas or b"").decode().split(","):
        assert not beta or beta in str(card), "it stands in the model's card"


@pytest.mark.parametrize(
    ("location", "host"),
    [("global", "aiplatform.googleapis.com"), ("us", "aiplatform.us.rep.googleapis.com"),
     ("eu", "aiplatform.eu.rep.googleapis.com"), ("us-east5", "us-east5-aiplatform.googleapis.com"),
     ("europe-west1", "europe-west1-aiplatform.googleapis.com")],
)  # fmt: skip
async def test_g31_every_kind_of_location_has_its_host(location: str, host: str) -> None:
    got = await converse(settings={"vertex": {"location": location}})
    assert got.upstream.calls[0].origin.host == host


async def test_g32_nothing_leaves_its_geography(waited: list[float]) -> None:
    inside = {
        "geography": "eu",
        "models": [{"name": "m", "model": "claude-sonnet-4-6", "locations": ["eu", "europe-west1"]}],
    }
    upstream = FakeUpstream([quota() for _ in range(9)])
    await request(gateway(upstream, vertex=inside | {"location": "eu"}), "POST", PATH, ask() | {"model": "m"})
    assert upstream.calls
    assert all("eu" in made.origin.host for made in upstream.calls)
    outside = {"project": "p", "geography": "eu", "location": "us-east5", "model": "claude-sonnet-4-6"}
    config = Config.from_dict({"vertex": outside})
    with pytest.raises(ConfigError):
        build_routes(config, config.build_catalog())


async def test_g33_a_temperature_a_model_does_not_take_is_left_out_and_told() -> None:
    got = await converse(model=NEW, temperature=0.2)
    assert "temperature" not in got.sent
    assert any("temperature" in notice for notice in got.notices)
    unknown = await converse(model="claude-opus-6-2", temperature=0.2)
    assert unknown.status in (200, 404)
    strict = await converse(model=NEW, temperature=0.2, settings={"server": {"strict": True}})
    assert strict.status == 400


async def test_g34_an_answer_begun_by_the_client_is_refused_with_the_reason_or_continued() -> None:
    turns = [USER, {"role": "assistant", "content": "The answer is"}]
    refused = await converse(model=NEW, messages=turns)
    assert refused.status == 400
    assert refused.error["param"].startswith("messages")
    going_on = await converse(model=NEW, messages=turns, settings={"vertex": {"prefill": "continue"}})
    assert going_on.turns[-1]["role"] == "user"


async def _think(app: Any = None) -> Any:
    first = answer(thought("Let me see."), tool_use(), stop_reason="tool_use", stream=True)
    return await converse(first, model=NEW, tools=[tool()], stream=True, reasoning_effort="high", app=app)


_AFTER: list[Any] = [USER, {"role": "assistant", "content": None, "tool_calls": [call()]}, result()]


async def test_g35_a_client_that_cannot_carry_thinking_needs_not() -> None:
    app = (await _think()).app
    got = await converse(app=app, model=NEW, tools=[tool()], messages=_AFTER, reasoning_effort="high")
    assert [block["type"] for block in got.turns[1]["content"]] == ["thinking", "tool_use"]
    fresh = await converse(model=NEW, tools=[tool()], messages=_AFTER, reasoning_effort="high")
    assert fresh.status == 200, "without what was kept the request is still legal"


async def test_g36_thinking_goes_back_whole_or_not_at_all() -> None:
    blocks = [
        {"type": "thinking", "thinking": "one", "signature": "c2lnbmF0dXJl"},
        {"type": "thinking", "thinking": "two"},
    ]
    turn = {"role": "assistant", "content": None, "tool_calls": [call()], "thinking_blocks": blocks}
    got = await converse(model=NEW, tools=[tool()], messages=[USER, turn, result()], reasoning_effort="high")
    kinds = [block["type"] for block in got.turns[1]["content"]]
    assert kinds in (["tool_use"], ["thinking", "thinking", "tool_use"], ["thinking", "tool_use"])
    assert "two" not in json.dumps(got.turns[1]), "unsigned thinking does not become text"


@pytest.mark.parametrize(
    "said",
    [
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "thinking block is bound to a different conversation",
    ],
)
async def test_g37_a_refused_signature_is_left_out_and_the_session_goes_on(said: str, waited: list[float]) -> None:
    refusal = error_reply(400, {"type": "error", "error": {"type": "invalid_request_error", "message": said}})
    blocks = [{"type": "thinking", "thinking": "foreign", "signature": "Zm9yZWlnbg=="}]
    turn = {"role": "assistant", "content": None, "tool_calls": [call()], "thinking_blocks": blocks}
    fields: Any = {"model": NEW, "tools": [tool()], "messages": [USER, turn, result()], "reasoning_effort": "high"}
    got = await converse(refusal, answer(text("fine")), **fields)
    assert got.status == 200
    assert len(got.upstream.calls) == 2
    assert b"foreign" not in got.upstream.calls[1].body
    again = await converse(answer(text("fine")), app=got.app, **fields)
    assert b"foreign" not in again.upstream.calls[-1].body


def test_g38_what_is_remembered_has_a_bound() -> None:
    clock = [0.0]
    store = MemoryThoughts(lambda: clock[0], max_entries=100, max_bytes=50_000)
    for number in range(5000):
        block: SignedThinking = ThinkingBlock(thinking="x" * 100, signature=f"s{number}")
        store.put("owner", f"call_{number}", "m", (block,))
        store.refuse("owner", (block,))
    assert len(store) <= 100
    assert store.bytes <= 50_000
    assert len(store._refused) <= 100


async def test_g38_a_request_leaves_nothing_behind() -> None:
    import gc

    app = gateway(upstream := FakeUpstream([]))
    sizes = []
    for _ in range(3):
        for number in range(60):
            upstream.script = [message_reply()]
            body = ask(f"turn {number}", user=f"user-{number}", metadata={f"k{number}": "v"})
            assert (await request(app, "POST", PATH, body)).status == 200
        upstream.calls.clear()
        upstream.replies.clear()
        gc.collect()
        sizes.append(len(gc.get_objects()))
    assert sizes[2] - sizes[1] < 200, "something is kept for each request"


async def test_g43_large_media_and_many_pieces_cost_little() -> None:
    photo = b"\x89PNG\r\n\x1a\n" + bytes(6_000_000)
    app = gateway(FakeUpstream([message_reply()]))
    message = {"role": "user", "content": [picture(data_url(photo))]}
    body = json.dumps(ask() | {"messages": [message]}).encode()
    began = time.process_time()
    response: Response = await request(app, "POST", PATH, body)
    assert response.status in (200, 400)
    assert time.process_time() - began < 1.0, "8 MB of base64"
    began = time.process_time()
    got = await converse(answer(text("x" * 2), stream=True), stream=True)
    pieces = stream_reply(*text_events(*["word "] * 5000))
    got = await converse(pieces, stream=True)
    assert len(got.deltas) > 5000
    assert time.process_time() - began < 3.0, "5000 pieces, reading them here included"


async def test_g44_one_translator_serves_every_path() -> None:
    bodies = []
    for path in (PATH, "/chat/completions"):
        upstream = FakeUpstream([message_reply()])
        fields = {"tools": [tool()], "reasoning_effort": "low", "parallel_tool_calls": False}
        assert (await request(gateway(upstream), "POST", path, ask(**fields))).status == 200
        bodies.append(upstream.calls[0].body)
    assert bodies[0] == bodies[1]
