"""What other gateways got wrong, one test a case, E92 to E104: long contexts, pictures, token limits, last turns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import ModelCard, builtin
from support.fakes import error_reply, event, stream_reply, text_events
from support.fetch_servers import ok
from support.lessons import (
    BARE,
    BUDGET,
    NEW,
    SONNET,
    USER,
    WEATHER,
    Json,
    answer,
    ask,
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
from support.lessons_more import (
    BITMAP,
    PICTURE,
    broken,
    data_url,
    finishes,
    inlined,
    no_waiting,
    picture,
    pictures,
)

__all__ = ["no_waiting"]
WAYS = [False, True]
CARDS = builtin().cards
#: The largest picture whose base64 is 5 MB.
FITS = PICTURE.ljust(5 * 1024 * 1024 // 4 * 3, b"\0")


def user(content: Any, **fields: Any) -> Json:
    return {"role": "user", "content": content, **fields}


def assistant(content: Any = None, **fields: Any) -> Json:
    return {"role": "assistant", "content": content, **fields}


def shown_by(*parts: Json) -> list[tuple[list[Json], Any]]:
    """Conversations in which the user, and a tool, show these parts; each with how to find them in the turns."""
    asked = [USER, assistant(tool_calls=[call()]), result(content=list(parts))]
    return [([user(list(parts))], lambda turns: turns[0]["content"]),
            (asked, lambda turns: turns[2]["content"][0]["content"])]  # fmt: skip


@pytest.mark.parametrize("model", [BUDGET, SONNET, NEW])
async def test_e92_a_long_context_is_not_asked_for_by_guess(model: str) -> None:
    """Models with a million tokens need no beta, the others take none: the client's goes neither into a header nor
    into the body, where Vertex AI might refuse it."""
    got = await ask(model=model, headers={"anthropic-beta": "context-1m-2025-08-07"})
    assert (got.status, got.betas, "anthropic_beta" in got.sent) == (200, None, False)
    got = await ask(model=model, anthropic_beta=["context-1m-2025-08-07"])
    assert (got.status, got.betas, "anthropic_beta" in got.sent) == (200, None, False)
    assert got.notices == ["ignored=anthropic_beta"]


async def test_e94_a_picture_is_fetched_wherever_it_stands() -> None:
    """A user's picture and a tool's are the same block, by URL as by data."""
    async with pictures({"/cat.png": ok(PICTURE)}) as (site, settings):
        for url in (site.url("/cat.png"), data_url()):
            for messages, found in shown_by(text("See:"), picture(url)):
                got = await ask(messages=messages, tools=[tool()], settings=settings)
                await got.app.aclose()
                assert got.status == 200, got.response.body
                assert found(got.turns) == [text("See:"), inlined()]


@pytest.mark.parametrize("claimed", ["application/octet-stream", "image/jpeg", "text/html", ""])
async def test_e95_the_type_of_a_picture_is_read_from_its_bytes(claimed: str) -> None:
    async with pictures({"/cat": ok(PICTURE, claimed)}) as (site, settings):
        for url in (site.url("/cat"), data_url(claimed=claimed)):
            got = await ask(messages=[user([picture(url)])], settings=settings)
            await got.app.aclose()
            assert got.turns[0]["content"] == [inlined()]


async def test_e95_a_picture_of_another_type_is_refused_by_name() -> None:
    """The error says where the picture stands, what it claims to be and what could be read instead."""
    for number, (messages, _) in enumerate(shown_by(text("See:"), picture(data_url(BITMAP, "image/bmp")))):
        got = await ask(messages=messages, tools=[tool()])
        assert (got.status, got.upstream.calls) == (400, [])
        assert "image/bmp" in got.error["message"]
        assert "PNG" in got.error["message"]
        assert got.error["param"] == f"messages.{number * 2}.content.1.image_url"


async def test_e95_a_fetched_picture_of_another_type_is_refused() -> None:
    for claimed in ("image/bmp", "image/png"):
        async with pictures({"/cat": ok(BITMAP, claimed)}) as (site, settings):
            got = await ask(messages=[user([picture(site.url("/cat"))])], settings=settings)
            await got.app.aclose()
        assert (got.status, got.upstream.calls) == (400, [])
        assert got.error["param"].startswith("messages.0.content.0")
        assert "PNG" in got.error["message"]


@pytest.mark.parametrize("remote", [False, True])
async def test_e96_a_pictures_size_is_that_of_its_base64(remote: bool) -> None:
    """The last byte that fits goes up, one more is refused here, by what it is and not by what Vertex AI says."""
    async with pictures({"/fits": ok(FITS), "/large": ok(FITS + b"\0")}) as (site, settings):
        urls = (site.url("/fits"), site.url("/large")) if remote else (data_url(FITS), data_url(FITS + b"\0"))
        fits = await ask(messages=[user([picture(urls[0])])], settings=settings)
        large = await ask(messages=[user([picture(urls[1])])], settings=settings)
        await fits.app.aclose()
        await large.app.aclose()
    assert fits.status == 200, fits.response.body
    assert len(fits.turns[0]["content"][0]["source"]["data"]) == 5 * 1024 * 1024
    assert (large.status, large.upstream.calls) == (400, [])
    assert "5 MB" in large.error["message"]
    assert large.error["param"].startswith("messages.0.content.0")


@pytest.mark.parametrize("url", ["gs://bucket/cat.png", "s3://bucket/cat.png", "file:///etc/passwd", "cat.png", ""])
async def test_e97_a_picture_that_cannot_be_read_is_never_left_out(url: str) -> None:
    """A 400 that names the part and says what to send instead."""
    file = {"type": "file", "file": {"file_data": url, "filename": "cat.png"}}
    for part, field in ((picture(url), "image_url"), (file, "file.file_data")):
        for number, (messages, _) in enumerate(shown_by(text("See:"), part)):
            got = await ask(messages=messages, tools=[tool()])
            assert (got.status, got.upstream.calls) == (400, [])
            assert got.error["param"] == f"messages.{number * 2}.content.1.{field}"
            assert "data:" in got.error["message"]


async def test_e98_tools_stay_in_the_clients_order() -> None:
    """Byte for byte, each time the same: tools come first in the prompt, and the cache knows it by its bytes."""
    names = ["zeta", "alpha", "Mid", "_b", "alpha2", "9x", "ab", "aa"]
    schemas = [{**WEATHER, "properties": {f"{name}_z": {}, name: {"type": "string"}}, "required": []} for name in names]
    tools = [tool(name, schema) for name, schema in zip(names, schemas, strict=True)]
    bodies = []
    for _ in range(3):
        got = await ask(tools=tools, settings={"vertex": {"prompt_caching": True}})
        assert [t["name"] for t in got.sent["tools"]] == names
        assert [json.dumps(t["input_schema"]) for t in got.sent["tools"]] == [json.dumps(s) for s in schemas]
        bodies.append(got.upstream.calls[0].body)
    assert len(set(bodies)) == 1
    allowed = [{"type": "function", "function": {"name": name}} for name in ("aa", "Mid", "zeta")]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": allowed}}
    got = await ask(tools=tools, tool_choice=choice)
    assert [t["name"] for t in got.sent["tools"]] == ["zeta", "Mid", "aa"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
async def test_e99_a_token_limit_above_the_models_is_lowered(card: ModelCard, name: str) -> None:
    """To the model's own, with a notice; strict mode says which it is. The model's own is no change."""
    reply = [answer(text("Hello"), stream=card.max_output > 8192)]
    fields: Json = {"max_tokens": None, name: card.max_output + 1}
    got = await ask(*reply, model=card.id, **fields)
    assert (got.sent["max_tokens"], got.notices) == (card.max_output, [f"clamped={name}"])
    got = await ask(*reply, model=card.id, headers={"x-modelmux-strict": "1"}, **fields)
    assert (got.status, got.error["param"]) == (400, name)
    assert str(card.max_output) in got.error["message"]
    got = await ask(answer(text("Hello"), stream=card.max_output > 8192), model=card.id,
                    **{"max_tokens": None, name: card.max_output})  # fmt: skip
    assert (got.sent["max_tokens"], got.notices) == (card.max_output, [])


@pytest.mark.parametrize("stream", WAYS)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
async def test_e100_without_a_token_limit_it_is_the_models(card: ModelCard, stream: bool) -> None:
    """The catalog's, no figure for all: a small one would cut answers short."""
    reply = answer(text("Hello"), stream=stream or card.max_output > 8192)
    got = await ask(reply, model=card.id, max_tokens=None, stream=stream)
    assert (got.sent["max_tokens"], got.notices) == (card.max_output, [])
    assert got.message["content"] == "Hello"


#: As the documentation of the models has it: whose turn may be continued, and no newer model's.
CONTINUED = {
    "claude-haiku-4-5@20251001", "claude-sonnet-4-5@20250929", "claude-opus-4-5@20251101", "claude-opus-4-1@20250805",
    "claude-opus-4@20250514", "claude-sonnet-4@20250514", "claude-3-5-haiku@20241022",
}  # fmt: skip


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
async def test_e101_an_answer_is_continued_only_where_it_can_be(card: ModelCard) -> None:
    """By each model's own card, at every effort: sent as it is, or a 400 that says what to send."""
    for effort in (None, "none", "low", "high", "max"):
        got = await ask(model=card.id, messages=[USER, assistant("It is ")], reasoning_effort=effort)
        if card.id in CONTINUED:
            assert got.turns[-1] == {"role": "assistant", "content": [text("It is")]}
            assert got.sent.get("thinking", {"type": "disabled"}) == {"type": "disabled"}  # no thought before "It is"
        else:
            assert (got.status, got.error["param"], got.upstream.calls) == (400, "messages", [])
            assert "user message" in got.error["message"]
    settings = {"vertex": {"prefill": "continue"}}
    got = await ask(model=card.id, messages=[USER, assistant("It is ")], settings=settings)
    assert got.turns[-1]["role"] == ("assistant" if card.id in CONTINUED else "user")


@pytest.mark.parametrize("content", [None, "I look."])
@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET, BARE])
async def test_e101_a_call_at_the_end_is_nothing_to_continue(model: str, content: str | None) -> None:
    """The last message calls a tool: it is given a result, as one that was lost, and the answer may come."""
    made = assistant(content, tool_calls=[call()])
    got = await ask(model=model, messages=[USER, made], tools=[tool()])
    assert (got.status, got.turns[-1]["role"]) == (200, "user")
    (given,) = got.turns[-1]["content"]
    assert (given["type"], given["tool_use_id"], given["is_error"]) == ("tool_result", "toolu_1", True)
    assert got.notices == ["added=messages"]


@pytest.mark.parametrize("content", ["", " \n", [], [text("")], [text(""), text("\t")]])
@pytest.mark.parametrize("role", ["system", "developer"])
async def test_e102_an_empty_system_message_is_left_out(role: str, content: Any) -> None:
    """Nothing takes its place, at the start or later, alone or beside others."""
    empty = {"role": role, "content": content}
    got = await ask(messages=[empty, USER])
    assert "system" not in got.sent
    assert got.turns == [user([text("Hi")])]
    got = await ask(messages=[{"role": "system", "content": "Rules."}, empty, USER])
    assert got.sent["system"] == [text("Rules.")]
    for model in (NEW, SONNET):
        got = await ask(model=model, messages=[USER, assistant("Hello"), empty, USER])
        assert got.turns == [user([text("Hi")]), assistant([text("Hello")]), user([text("Hi")])]


OVERLOADED: Json = {"type": "overloaded_error", "message": "Overloaded"}


async def test_e103_an_error_in_a_stream_is_told_as_one() -> None:
    """After content: no finish reason, no ``[DONE]``, an error that clients raise on; counted as the upstream's."""
    reply = stream_reply(*text_events("Hel", "lo")[:-3], event("error", error=OVERLOADED))
    got = await ask(reply, answer(text("Never."), stream=True), stream=True)
    chunks, error = broken(got)
    assert finishes(chunks) == []
    assert "".join(c["delta"].get("content", "") for chunk in chunks for c in chunk["choices"]) == "Hello"
    assert error["message"]
    assert error["type"] not in (None, "", "error")
    assert len(got.upstream.calls) == 1
    counted = got.app.metrics.expose().decode()
    assert f'{{outcome="upstream_error",route="{SONNET}"}} 1.0' in counted
    assert 'outcome="ok"' not in counted
    assert got.app.metrics.health()["failed_requests"] == 1


@pytest.mark.usefixtures("no_waiting")
async def test_e103_an_error_before_content_is_tried_again_or_has_a_status() -> None:
    """Nothing was promised to the client yet; each such call counts against its deployment."""
    early = [opening(), event("error", error=OVERLOADED)]
    got = await ask(stream_reply(*early), answer(text("Hello"), stream=True), stream=True)
    assert (got.message["content"], len(got.upstream.calls)) == ("Hello", 2)
    assert 'result="overloaded"} 1.0' in got.app.metrics.expose().decode()
    got = await ask(*[stream_reply(*early) for _ in range(9)], stream=True)
    assert (got.status, got.response.headers["content-type"]) == (503, "application/json")
    assert "Overloaded" in got.error["message"]


@pytest.mark.usefixtures("no_waiting")
async def test_e103_the_folded_answer_fails_as_a_whole() -> None:
    """The client waits for a whole answer, which comes as a stream in between: an error in it is a status."""
    failed = [stream_reply(*text_events("Hello")[:-3], event("error", error=OVERLOADED)) for _ in range(9)]
    got = await ask(*failed, max_tokens=30_000)
    assert (got.status, "choices" in got.response.json()) == (503, False)
    got = await ask(*[error_reply(529, {"type": "error", "error": OVERLOADED}) for _ in range(9)])
    assert (got.status, "choices" in got.response.json()) == (503, False)


@pytest.mark.parametrize("way", ["whole", "stream", "folded"])
async def test_e104_calls_are_told_with_their_finish(way: str) -> None:
    """Stop reason ``tool_use``: the client's word for it, and the calls themselves, all of them."""
    blocks = [thought(), text("I look."), tool_use("toolu_1"), tool_use("toolu_2", "other", {"n": [1, {"x": "ü"}]})]
    reply = answer(*blocks, stop_reason="tool_use", stream=way != "whole")
    options: Json = {"model": NEW, "tools": [tool(), tool("other")], "max_tokens": 30_000 if way == "folded" else 2000}
    got = await ask(reply, stream=way == "stream", **options)
    assert got.finish == "tool_calls"
    assert [(c["id"], c["function"]["name"]) for c in got.message["tool_calls"]] == [
        ("toolu_1", "get_weather"),
        ("toolu_2", "other"),
    ]
    inputs = [json.loads(c["function"]["arguments"]) for c in got.message["tool_calls"]]
    assert inputs == [{"city": "Paris"}, {"n": [1, {"x": "ü"}]}]
    assert b'"tool_use"' not in got.response.body


async def test_e104_a_call_is_streamed_before_the_finish_is_known() -> None:
    """The name comes with the block's start, and the finish in a chunk of its own after all arguments."""
    reply = stream_reply(
        opening(), begin(0, tool_use(value={})), delta(0, "input_json_delta", partial_json='{"city":"Paris"}'), end(0),
        *closing("tool_use"),
    )  # fmt: skip
    got = await ask(reply, stream=True, tools=[tool()])
    *before, last = [choice for chunk in got.chunks for choice in chunk["choices"]]
    assert (last["finish_reason"], last["delta"]) == ("tool_calls", {})
    assert [c["finish_reason"] for c in before] == [None] * len(before)
    calls = [part for c in before for part in c["delta"].get("tool_calls", ())]
    assert (calls[0]["function"]["name"], calls[0]["id"]) == ("get_weather", "toolu_1")
