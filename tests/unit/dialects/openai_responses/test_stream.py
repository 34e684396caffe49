"""How a gateway drives the encoder: attempts that fail, pauses, keep-alives, the store, the end."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from modelmux.claude.text_buffer import PING_WHILE_HELD
from modelmux.dialects.openai_responses.plan import Echo, ResponsesPlan
from modelmux.dialects.openai_responses.stream import ResponsesEncoder
from modelmux.dialects.stored_responses import StoredItem, StoredResponse
from modelmux.error_kinds import KINDS
from modelmux.errors import GatewayError, GatewayOverloaded, InvalidRequest, NotSupported, UpstreamBroken, UpstreamError
from modelmux.wire import anthropic
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from support.responses_encoding import (
    PLAN,
    START,
    STOP,
    checked,
    datas,
    decoded,
    encoder,
    ended,
    short_form,
    streamed,
    tool,
    unary,
)

TEXT = [START, (0, "text"), (0, "text", "Hi")]
STORING = msgspec.structs.replace(PLAN, store=True)
PING = b": ping\n\n"


def plan(**fields: Any) -> ResponsesPlan:
    return msgspec.structs.replace(PLAN, **fields)


def feed(stream: ResponsesEncoder, *shorts: Any) -> bytes:
    return b"".join(map(stream.feed, decoded(*shorts)))


def finish(stream: ResponsesEncoder) -> bytes:
    stream.ended_at = 9
    return stream.finish()


def types(raw: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in datas(raw)]


# -- before there is content


@pytest.mark.parametrize(
    "shorts",
    [
        [START, {"type": "ping"}],
        [START, (0, "text"), (0, "text", " \n"), 0],
        [START, (0, "thinking"), 0],
        [START, (0, {"type": "server_tool_use", "name": "web_search", "input": {}}), 0],
    ],
)
def test_nothing_is_sent_before_there_is_content(shorts: list[Any]) -> None:
    stream = encoder()
    assert feed(stream, *shorts) == b""
    assert not stream.content_started
    assert types(feed(stream, (5, {"type": "text", "text": "a"}), 5))[:2] == ["created", "in_progress"]
    assert stream.content_started


def test_a_response_without_content_has_all_its_events() -> None:
    assert short_form(streamed(START, ended(), STOP)) == ["created", "in_progress", "completed"]
    stream = encoder()
    assert types(feed(stream, START, ended(), STOP)) == ["created", "in_progress"]
    assert stream.content_started


def test_pings_are_passed_on_once_there_is_content() -> None:
    stream = encoder()
    ping = decoded({"type": "ping"})[0]
    assert stream.feed(ping) == b""
    assert stream.feed(PING_WHILE_HELD) == PING
    feed(stream, *TEXT)
    assert stream.feed(ping) == PING
    feed(stream, ended(), STOP)
    assert stream.feed(ping) == b""


# -- keep-alives


def test_the_first_keep_alive_begins_the_stream() -> None:
    stream = encoder()
    raw = stream.keep_alive(15)
    assert types(raw) == ["created", "in_progress"]
    assert stream.keep_alive(15) == PING
    raw += feed(stream, *TEXT, 0, ended(), STOP)
    assert types(raw).count("created") == 1
    checked(raw + finish(stream))


def test_codex_gets_an_event_after_a_minute_without_one() -> None:
    echo = Echo(tools=[{"type": "function", "name": "f", "parameters": {}, "strict": False}])
    stream = encoder(plan(echo=echo))
    raw = feed(stream, *TEXT)
    assert [stream.keep_alive(15) for _ in range(3)] == [PING] * 3
    repeated = stream.keep_alive(15)
    assert types(repeated) == ["in_progress"]
    first, again = datas(raw)[0]["response"], datas(repeated)[0]["response"]
    assert first["tools"] == echo.tools
    assert again == {**first, "tools": []}
    assert stream.keep_alive(59) == PING
    more = feed(stream, (0, "text", "!"))
    assert stream.keep_alive(59) == PING, "the silence was over"
    more += feed(stream, 0, ended(), STOP)
    checked(raw + repeated + more + finish(stream))


# -- attempts and pauses


def test_another_attempt_continues_the_numbers_of_what_was_sent() -> None:
    first = encoder()
    raw = first.keep_alive(15)
    feed(first, START, (0, "text"), (0, "text", " "))
    second = first.restart(plan(model_id="other"))
    assert first.keep_alive(15) == PING
    raw += feed(second, *TEXT, 0, ended(), STOP) + finish(second)
    found = checked(raw)
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "Hi", "nothing of the first attempt is left"


def test_an_error_after_keep_alives_is_inside_the_stream() -> None:
    stream = encoder()
    raw = stream.keep_alive(15) + stream.fail(GatewayOverloaded("Too many requests at once."))
    assert types(raw) == ["created", "in_progress", "failed"]
    found = checked(raw)
    assert found[-1]["response"]["usage"] is None
    assert stream.restart(PLAN).fail(GatewayOverloaded("again")) == b""


def test_an_error_before_anything_was_sent_has_the_whole_beginning() -> None:
    assert types(encoder().fail(GatewayOverloaded("x"))) == ["created", "in_progress", "failed"]


def _with_status(status: int) -> GatewayError:
    error = UpstreamError("x")
    error.kind = msgspec.structs.replace(error.kind, status=status)
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("x"), "invalid_prompt"),
        (_with_status(413), "invalid_prompt"),
        (_with_status(429), "rate_limit_exceeded"),
        (GatewayOverloaded("x"), "server_error"),
        (UpstreamBroken("x", reply_started=True), "server_error"),
        (_with_status(529), "server_error"),
    ],
)
def test_the_codes_of_errors_inside_a_stream_are_openais(error: GatewayError, code: str) -> None:
    assert checked(encoder().fail(error))[-1]["response"]["error"]["code"] == code


def test_a_failure_keeps_the_items_that_are_complete() -> None:
    stream = encoder()
    raw = feed(stream, *TEXT, 0, (1, tool()), (1, "json", "{"))
    found = checked(raw + stream.fail(UpstreamBroken("x", reply_started=True)))
    assert [item["type"] for item in found[-1]["response"]["output"]] == ["message"]


def _blocked(*headers: tuple[bytes, bytes]) -> GatewayError:
    error = UpstreamError("Output blocked by content filtering policy")
    error.kind, error.request_headers = KINDS["content_filter"], headers
    return error


def test_what_a_policy_stopped_is_incomplete_with_what_there_is_of_it() -> None:
    stream = encoder()
    end = checked(feed(stream, *TEXT) + stream.fail(_blocked()))[-1]["response"]
    assert (end["status"], end["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert (end["error"], end["store"]) == (None, False)
    assert [(item["status"], item["content"][0]["text"]) for item in end["output"]] == [("incomplete", "Hi")]
    assert checked(encoder().fail(_blocked()))[-1]["response"]["output"] == []


def test_codex_would_ask_again_after_an_incomplete_response() -> None:
    end = checked(encoder().fail(_blocked((b"originator", b"codex_cli_rs"))))[-1]
    assert (end["type"], end["response"]["error"]["code"]) == ("response.failed", "invalid_prompt")


def test_a_reply_continues_after_a_pause() -> None:
    searching = plan(max_continuations=1, web_search_items=True)
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}
    first = encoder(searching)
    raw = feed(first, *TEXT, 0, (1, search), ended("pause_turn"), STOP)
    assert first.state.paused
    second = first.restart(searching)
    assert second.content_started
    raw += feed(second, START, (0, {"type": "web_search_tool_result", "content": []}), 0,
                (1, {"type": "text", "text": "there"}), 1, ended(), STOP)  # fmt: skip
    found = checked(raw + finish(second))
    assert [item["type"] for item in found[-1]["response"]["output"]] == ["message", "web_search_call", "message"]
    assert found[-1]["response"]["usage"]["total_tokens"] == 28, "of both replies"
    assert types(raw)[2:9] == [
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done", "output_item.added",
    ]  # fmt: skip


def test_text_after_a_pause_belongs_to_the_same_item() -> None:
    searching = plan(max_continuations=1)
    first = encoder(searching)
    raw = feed(first, START, (0, "text"), (0, "text", "a"), (1, "text"), (1, "text", "b"), ended("pause_turn"), STOP)
    second = first.restart(searching)
    raw += feed(second, START, (0, {"type": "text", "text": "c"}), 0, ended(), STOP) + finish(second)
    (item,) = checked(raw)[-1]["response"]["output"]
    assert item["content"][0]["text"] == "abc"


# -- runs of text


def test_a_run_of_text_is_the_same_as_its_deltas() -> None:
    texts = [b"a", b"\\n", "é".encode(), b'\\"']
    run = TextDeltaRun(0, texts, 4)
    stream, single = encoder(), encoder()
    before = feed(stream, *TEXT), feed(single, *TEXT)
    fast = stream.feed_run(run)
    assert fast is not None
    assert fast == b"".join(map(single.feed, run.events()))
    after = feed(stream, 0, ended(), STOP) + finish(stream)
    assert after == feed(single, 0, ended(), STOP) + finish(single)
    found = checked(before[0] + fast + after)
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == 'Hia\né"'
    assert stream.feed_run(run) is None, "the stream is over"


@pytest.mark.parametrize("shorts", [[START, (0, "text")], [START, (0, "text"), (0, "text", " ")]])
def test_a_run_may_begin_the_text(shorts: list[Any]) -> None:
    run, blank = TextDeltaRun(0, ["é".encode(), b"\\n", b"b"], 3), TextDeltaRun(0, [b"\\n", b"a"], 2)
    stream, single = encoder(), encoder()
    assert feed(stream, *shorts) == feed(single, *shorts) == b""
    assert stream.feed_run(blank) is None, "the text does not begin with it"
    assert stream.feed_run(run) == b"".join(map(single.feed, run.events()))
    assert feed(stream, 0, ended(), STOP) + finish(stream) == feed(single, 0, ended(), STOP) + finish(single)


def test_a_percent_sign_in_an_id_is_no_template() -> None:
    run = TextDeltaRun(0, [b"%d", b"%b"], 4)
    stream = ResponsesEncoder(PLAN, id="%b", created=1)
    raw = feed(stream, *TEXT)
    fast = stream.feed_run(run)
    assert fast is not None
    found = checked(raw + fast + feed(stream, 0, ended(), STOP) + finish(stream))
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "Hi%d%b"


@pytest.mark.parametrize(
    ("shorts", "fields"),
    [
        ([START], {}),
        ([START, (1, "text"), (1, "text", "a")], {}),
        ([START, (1, "text")], {}),
        ([START, (0, "text"), (0, "text", "a"), 0], {}),
        ([START, (0, "thinking"), (0, "think", "a")], {}),
        (TEXT, {"max_continuations": 1}),
        (TEXT, {"strip_code_block": True}),
        ([START, (0, "text")], {"strip_code_block": True}),
        (TEXT, {"compaction": "item"}),
    ],
)
def test_a_run_that_needs_a_look_is_read_one_by_one(shorts: list[Any], fields: dict[str, Any]) -> None:
    stream = encoder(plan(**fields))
    feed(stream, *shorts)
    assert stream.feed_run(TextDeltaRun(0, [b"a"] * 4, 4)) is None


def test_a_fence_around_the_text_is_removed() -> None:
    found = streamed(START, (0, "text"), (0, "text", "```json\n"), (0, "text", '{"a":1}'), (0, "text", "\n```"), 0,
                     ended(), STOP, plan=plan(strip_code_block=True))  # fmt: skip
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == '{"a":1}'


# -- the store


def _message(**fields: Any) -> anthropic.Message:
    block = anthropic.Block("thinking", thinking="a", signature="s")
    usage = anthropic.Usage(5, None, None, 9)
    return anthropic.Message(content=[block, anthropic.Block("text", text="Hi")], stop_reason="end_turn", usage=usage,
                             **fields)  # fmt: skip


def test_what_is_stored_has_what_the_client_did_not_ask_for() -> None:
    asked = (StoredItem("in_1", b'{"role":"user"}'),)
    storing = plan(store=True, input_items=asked, echo=Echo(previous_response_id="resp_0"))
    stream = encoder(storing)
    raw = feed(stream, START, (0, {"type": "thinking", "thinking": "a", "signature": "s"}), 0,
               (1, {"type": "text", "text": "Hi"}), 1, ended(), STOP)  # fmt: skip
    stream.ended_at = 9
    assert stream.stores_response
    stored = stream.stored_response()
    single = encoder(storing)
    single.ended_at = 9
    assert single.stored_response(_message()) == stored
    assert stored is not None
    assert (stored.id, stored.created_at, stored.previous_id, stored.input) == ("resp_ab", 1, "resp_0", asked)
    reasoning, text = (json.loads(item.data) for item in stored.output)
    assert [item.id for item in stored.output] == [reasoning["id"], text["id"]] == ["rs_ab0000", "msg_ab0001"]
    assert reasoning.pop("encrypted_content").startswith("mmx1.")
    response = checked(raw + stream.finish())[-1]["response"]
    assert response["store"] is True
    assert response["output"] == [reasoning, text]
    assert json.loads(stored.body) == {**response, "output": []}
    assert json.loads(single.message(_message(), b"")) == response


def test_the_end_says_so_if_it_could_not_be_stored() -> None:
    stream = encoder(STORING)
    raw = feed(stream, *TEXT, 0, ended(), STOP)
    assert isinstance(stream.stored_response(), StoredResponse)
    stream.not_stored()
    found = checked(raw + finish(stream))
    assert (found[0]["response"]["store"], found[-1]["response"]["store"]) == (True, False)
    single, message = encoder(STORING), _message()
    assert single.stored_response(message) is not None
    single.not_stored()
    assert json.loads(single.message(message, b""))["store"] is False


def test_what_is_not_to_be_stored_is_not() -> None:
    stream = encoder()
    feed(stream, *TEXT, 0, ended(), STOP)
    assert (stream.stores_response, stream.stored_response()) == (False, None)
    assert encoder().stored_response(_message()) is None
    failed = encoder(STORING)
    failed.fail(GatewayOverloaded("x"))
    assert (failed.stores_response, failed.stored_response()) == (False, None)


# -- the end


def test_done_follows_the_end_for_clients_that_want_it() -> None:
    done = b"data: [DONE]\n\n"
    stream = encoder(plan(sends_done=True))
    raw = feed(stream, *TEXT, 0, ended(), STOP) + finish(stream)
    assert raw.endswith(done)
    checked(raw.removesuffix(done))
    assert encoder(plan(sends_done=True)).fail(GatewayOverloaded("x")).endswith(done)


def test_what_repeats_the_request_is_in_every_object() -> None:
    schema = msgspec.Raw(b'{"type": "function", "name": "f", "parameters": {"b": 1, "a": 2}, "strict": null}')
    echo = Echo(instructions="Be brief.", max_output_tokens=7, metadata={"a": "b"}, tools=[schema],
                tool_choice="required", truncation="auto", user="u", parallel_tool_calls=False)  # fmt: skip
    found = streamed(*TEXT, 0, ended(), STOP, plan=plan(echo=echo, temperature=0.5))
    for event in (found[0], found[1], found[-1]):
        response = event["response"]
        assert (response["instructions"], response["metadata"], response["user"]) == ("Be brief.", {"a": "b"}, "u")
        assert (response["tools"], response["tool_choice"]) == ([json.loads(bytes(schema))], "required")
        assert (response["temperature"], response["top_p"], response["truncation"]) == (0.5, 1.0, "auto")
        assert (response["model"], response["parallel_tool_calls"]) == ("m", False)


# -- compaction

SUMMARY = [START, (0, "thinking"), (0, "think", "hm"), (0, "sign", "s"), 0, (1, "text"), (1, "text", "We "),
           (1, "text", "met."), (1, "text", ""), 1, (2, tool()), (2, "text", "!"), 2]  # fmt: skip


def test_a_compaction_is_one_item() -> None:
    compacting = plan(compaction="item", store=True)
    found = streamed(*SUMMARY, ended(), STOP, plan=compacting)
    assert [event["type"].removeprefix("response.") for event in found] == [
        "created", "in_progress", "output_item.added", "output_item.done", "completed"
    ]  # fmt: skip
    (item,) = found[-1]["response"]["output"]
    assert (item["type"], item["id"], item["encrypted_content"][:5]) == ("compaction", "cmp_ab0000", "mmx1.")
    assert encoder(compacting).stored_response(_message()) is None


def test_an_answer_that_is_held_back_has_begun() -> None:
    schema = {"properties": {"x": {"type": "array"}}, "required": ["x"]}
    stream = encoder(plan(answer_tool="answer", answer_schema=schema))
    assert feed(stream, START, (0, tool(name="answer")), (0, "json", "")) == b""
    assert not stream.content_started
    assert types(feed(stream, (0, "json", '{"p":'))) == ["created", "in_progress"]
    assert stream.content_started
    assert feed(stream, (0, "json", '{"x":')) == b""


def test_a_compaction_is_under_way_with_the_first_text_of_its_summary() -> None:
    stream = encoder(plan(compaction="item"))
    assert feed(stream, *SUMMARY[:6]) == b""
    assert not stream.content_started
    assert types(feed(stream, SUMMARY[6])) == ["created", "in_progress"]
    assert stream.content_started


def test_a_compaction_as_an_object_of_its_own() -> None:
    block = anthropic.Block("text", text="We met.")
    body = unary(anthropic.Message(content=[block], usage=anthropic.Usage(1)), plan(compaction="object"))
    assert list(body) == ["id", "object", "created_at", "output", "usage"]
    assert (body["object"], [item["type"] for item in body["output"]]) == ("response.compaction", ["compaction"])


@pytest.mark.parametrize("blocks", [[], [(0, tool()), 0], [(0, "text"), (0, "text", ""), 0]])
def test_a_compaction_without_a_summary_is_a_failed_attempt(blocks: list[Any]) -> None:
    with pytest.raises(UpstreamBroken, match="no summary"):
        feed(encoder(plan(compaction="item")), START, *blocks, ended(), STOP)


@pytest.mark.parametrize(("text", "reason"), [(" ", "end_turn"), ("Half a", "refusal")])
def test_a_compaction_that_had_begun_ends_as_a_failure(text: str, reason: str) -> None:
    stream = encoder(plan(compaction="item"))
    raw = feed(stream, START, (0, "text"), (0, "text", text), 0, ended(reason), STOP)
    assert stream.content_started
    found = checked(raw + finish(stream))
    assert short_form(found) == ["created", "in_progress", "failed"]
    assert "no summary" in found[-1]["response"]["error"]["message"]


def test_a_compaction_in_one_piece_without_a_summary() -> None:
    refused = anthropic.Message(content=[anthropic.Block("text", text="Half a")], stop_reason="refusal")
    for message in (anthropic.Message(), refused):
        with pytest.raises(UpstreamBroken, match="no summary"):
            encoder(plan(compaction="item")).message(message, b"")


@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded"])
def test_half_a_summary_is_not_shown_as_a_complete_one(reason: str) -> None:
    message = anthropic.Message(content=[anthropic.Block("text", text="Half a")], stop_reason=reason)
    with pytest.raises(InvalidRequest, match="cut off"):
        encoder(plan(compaction="object")).message(message, b"")
    body = unary(message, plan(compaction="item"))
    assert (body["status"], [item["type"] for item in body["output"]]) == ("incomplete", ["compaction"])


def test_a_compaction_that_cannot_be_sealed_is_refused() -> None:
    stream = encoder(plan(compaction="item", sealer=None))
    with pytest.raises(NotSupported, match="seal"):
        feed(stream, START)
    with pytest.raises(NotSupported, match="seal"):
        encoder(plan(compaction="object", sealer=None)).message(_message(), b"")
