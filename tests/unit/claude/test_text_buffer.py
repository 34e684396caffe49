"""Buffering text: the same text in larger pieces, none of it late, none of it in front of what came before it."""

from __future__ import annotations

import pytest

from modelmux.claude.text_buffer import PING_WHILE_HELD, TextBuffer
from modelmux.wire.anthropic import Block, Delta, Message, StreamEvent
from support.work import assert_linear


def text(content: str, index: int = 0) -> StreamEvent:
    return StreamEvent("content_block_delta", index, delta=Delta("text_delta", text=content))


def thinking(content: str) -> StreamEvent:
    return StreamEvent("content_block_delta", 0, delta=Delta("thinking_delta", thinking=content))


def arguments(content: str, index: int = 0) -> StreamEvent:
    return StreamEvent("content_block_delta", index, delta=Delta("input_json_delta", partial_json=content))


def tool_start(name: str, index: int = 0) -> StreamEvent:
    return StreamEvent("content_block_start", index, content_block=Block("tool_use", id="t", name=name))


def buffered(*events: StreamEvent, size: int = 1000, wait: float = 5.0) -> list[StreamEvent]:
    """All that comes out, time standing still."""
    buffer = TextBuffer(size, wait, "answer")
    out = [released for event in events for released in buffer.feed(event, 0.0)]
    return out + buffer.flush()


def pieces(*deltas: str, size: int = 1000) -> list[str | None]:
    return [event.delta.text for event in buffered(*map(text, deltas), size=size) if event.delta]


SENTENCES: list[tuple[list[str], list[str]]] = [
    (["Hel", "lo. ", "How", " are"], ["Hello. ", "How are"]),
    (["Hello.", " How"], ["Hello. ", "How"]),
    (["One. Two! Three? Fo", "ur"], ["One. Two! Three? ", "Four"]),
    (["It is 3", ".", "14 or example", ".com now"], ["It is 3.14 or example.com now"]),
    (["He said \"no", ".", "\"", " Then"], ['He said "no." ', "Then"]),
    (["**Bold.", "** Next"], ["**Bold.** ", "Next"]),
    (["# Title", "\n", "\nText"], ["# Title\n", "\n", "Text"]),
    (["- a\n- b\n- ", "c"], ["- a\n- b\n", "- c"]),
    (["こんに", "ちは。元", "気？は", "い！"], ["こんにちは。", "元気？", "はい！"]),
    (["「はい。", "」と"], ["「はい。", "」と"]),
    (["「はい。」と"], ["「はい。」", "と"]),
    (["هل أنت بخير؟", " نعم"], ["هل أنت بخير؟ ", "نعم"]),
    (["नमस्ते।", " आप"], ["नमस्ते। ", "आप"]),
    (["Wait… ", "what"], ["Wait… ", "what"]),
    (["done."], ["done."]),
]  # fmt: skip


@pytest.mark.parametrize(("deltas", "want"), SENTENCES, ids=[" ".join(want) for _, want in SENTENCES])
def test_text_goes_at_sentence_ends_of_any_script(deltas: list[str], want: list[str]) -> None:
    assert pieces(*deltas) == want


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_sentences_end_is_seen_however_the_upstream_cuts(size: int) -> None:
    whole = 'He said "no.") Then 3.14 more. End'
    parts = [whole[i : i + size] for i in range(0, len(whole), size)]
    assert pieces(*parts) == ['He said "no.") ', "Then 3.14 more. ", "End"]


def test_the_bound_counts_bytes_not_characters() -> None:
    assert pieces("aaa", "aaa", "aaa", size=6) == ["aaaaaa", "aaa"]
    assert pieces("漢", "字", "漢", size=6) == ["漢字", "漢"]
    assert pieces("🎉", "🎉", size=4) == ["🎉", "🎉"]
    assert pieces("a", "b", size=0) == ["a", "b"]


def test_text_that_is_no_unicode_passes() -> None:
    """Half of a surrogate pair has no UTF-8; what becomes of it is not decided here."""
    assert pieces("\ud83c", "\udf89", "x") == ["\ud83c\udf89x"]


def test_other_events_pass_after_the_text_before_them() -> None:
    others = [
        StreamEvent("message_start", message=Message()),
        StreamEvent("content_block_start", 0, content_block=Block("text", text="x")),
        StreamEvent("content_block_stop", 0),
        tool_start("f"),
        arguments("{"),
        StreamEvent("content_block_delta", 0, delta=Delta("citations_delta")),
        StreamEvent("content_block_delta", 0, delta=Delta("signature_delta", signature="s")),
        StreamEvent("content_block_delta", 0, delta=Delta("text_delta", text="")),
        StreamEvent("content_block_delta", 0),
        StreamEvent("message_delta", delta=Delta(stop_reason="end_turn")),
        StreamEvent("message_stop"),
    ]
    for other in others:
        assert buffered(text("a"), text("b"), other, text("c"), text("d")) == [text("ab"), other, text("cd")]
    call = tool_start("f")
    assert buffered(call, arguments("{"), arguments("}")) == [call, arguments("{"), arguments("}")]


def test_a_ping_does_not_release_text() -> None:
    ping = StreamEvent("ping")
    assert buffered(text("a"), ping, text("b")) == [ping, text("ab")]


def test_thinking_is_buffered_and_never_joined_with_content() -> None:
    events = [thinking("I "), thinking("think"), text("So"), text(" it is"), thinking("Hm. "), thinking("ok")]
    assert buffered(*events) == [thinking("I think"), text("So it is"), thinking("Hm. "), thinking("ok")]


def test_texts_of_two_blocks_are_not_joined() -> None:
    assert buffered(text("a", 0), text("b", 1), text("c", 1)) == [text("a", 0), text("bc", 1)]


def test_the_input_of_the_answer_tool_is_text() -> None:
    start = tool_start("answer", 2)
    assert buffered(start, arguments('{"a": ', 2), arguments("1}", 2)) == [start, arguments('{"a": 1}', 2)]
    assert buffered(start, arguments("{", 3), arguments("}", 3)) == [start, arguments("{", 3), arguments("}", 3)]


def test_time_counts_from_the_first_held_character() -> None:
    buffer = TextBuffer(1000, 5.0)
    assert buffer.due is None
    assert buffer.feed(text("a"), 10.0) == []
    assert buffer.feed(text("b"), 14.9) == []
    assert buffer.due == 15.0
    assert buffer.feed(text("c"), 15.0) == [text("abc")]
    assert buffer.due is None


def test_what_follows_a_sentence_waits_from_its_own_arrival() -> None:
    buffer = TextBuffer(1000, 5.0)
    buffer.feed(text("a"), 10.0)
    assert buffer.feed(text(". b"), 14.0) == [text("a. ")]
    assert buffer.due == 19.0
    assert buffer.flush() == [text("b")]
    assert buffer.flush() == []


def test_no_waiting_holds_nothing() -> None:
    buffer = TextBuffer(1000, 0.0)
    assert buffer.feed(text("a"), 10.0) == [text("a")]


@pytest.mark.parametrize("repeated", ["!", '."', " ", "\n", "。", "a"])
def test_the_work_is_linear_in_the_text(repeated: str) -> None:
    """The search for the end of a sentence runs in C: were it quadratic, a million characters would take minutes and
    end in the timeout of the test."""
    assert_linear(lambda size: pieces(repeated * size, "x", size=10**9), 10_000)
    text = repeated * 1_000_000
    assert "".join(map(str, pieces(text, "x", size=10**9))) == text + "x"


def test_a_ping_overtakes_held_text_and_says_so() -> None:
    buffer, ping = TextBuffer(4096, 2.0), StreamEvent("ping")
    assert buffer.feed(ping, 0.0) == [ping]
    assert buffer.feed(ping, 0.0)[0] is ping
    buffer.feed(StreamEvent("content_block_delta", delta=Delta("text_delta", text="a")), 0.0)
    assert buffer.feed(ping, 0.0)[0] is PING_WHILE_HELD
    assert buffer.due == 2.0, "the text is still held"
