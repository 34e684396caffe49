"""Gathering text: the same text in larger pieces, none of it late, none of it in front of what came before it."""

from __future__ import annotations

import pytest

from modelmux.claude.text_buffer import Gatherer
from modelmux.wire.openai.chat_response import Chunk, ChunkDelta, FunctionDelta, ToolCallDelta, Usage
from modelmux.wire.openai.chat_response import CompletionTokensDetails as Out
from modelmux.wire.openai.chat_response import PromptTokensDetails as In
from support.work import assert_linear


def text(content: str) -> Chunk:
    return Chunk(ChunkDelta(content=content))


def thought(reasoning: str) -> Chunk:
    return Chunk(ChunkDelta(reasoning_content=reasoning))


def gather(*chunks: Chunk, size: int = 1000, wait: float = 5.0) -> list[Chunk]:
    """All that comes out, time standing still."""
    gatherer = Gatherer(size, wait)
    out = [piece for chunk in chunks for piece in gatherer.feed(chunk, 0.0)]
    return out + gatherer.flush()


def pieces(*deltas: str, size: int = 1000) -> list[str | None]:
    return [chunk.delta.content for chunk in gather(*map(text, deltas), size=size) if chunk.delta]


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


def test_what_is_no_text_passes_after_the_text_before_it() -> None:
    call = Chunk(ChunkDelta(tool_calls=[ToolCallDelta(0, "id", "function", FunctionDelta("f", ""))]))
    arguments = Chunk(ChunkDelta(tool_calls=[ToolCallDelta(0, function=FunctionDelta(arguments="{"))]))
    others = [
        Chunk(ChunkDelta(role="assistant", content="")),
        call,
        arguments,
        Chunk(ChunkDelta(refusal="no")),
        Chunk(ChunkDelta(annotations=[{}])),
        Chunk(ChunkDelta(content="x", role="assistant")),
        Chunk(ChunkDelta(reasoning_content="x", content="y")),
        Chunk(ChunkDelta()),
        Chunk(ChunkDelta(content="last"), finish_reason="stop"),
        Chunk(ChunkDelta(content="last"), usage=Usage(1, 1, 2, In(), Out())),
        Chunk(finish_reason="stop"),
    ]
    for other in others:
        assert gather(text("a"), text("b"), other, text("c"), text("d")) == [text("ab"), other, text("cd")]
    assert gather(call, arguments, arguments) == [call, arguments, arguments]


def test_reasoning_is_gathered_and_never_joined_with_content() -> None:
    chunks = [thought("I "), thought("think"), text("So"), text(" it is"), thought("Hm. "), thought("ok")]
    assert gather(*chunks) == [thought("I think"), text("So it is"), thought("Hm. "), thought("ok")]


def test_time_counts_from_the_first_held_character() -> None:
    gatherer = Gatherer(1000, 5.0)
    assert gatherer.due is None
    assert gatherer.feed(text("a"), 10.0) == []
    assert gatherer.feed(text("b"), 14.9) == []
    assert gatherer.due == 15.0
    assert gatherer.feed(text("c"), 15.0) == [text("abc")]
    assert gatherer.due is None


def test_what_follows_a_sentence_waits_from_its_own_arrival() -> None:
    gatherer = Gatherer(1000, 5.0)
    gatherer.feed(text("a"), 10.0)
    assert gatherer.feed(text(". b"), 14.0) == [text("a. ")]
    assert gatherer.due == 19.0
    assert gatherer.flush() == [text("b")]
    assert gatherer.flush() == []


def test_no_waiting_holds_nothing() -> None:
    gatherer = Gatherer(1000, 0.0)
    assert gatherer.feed(text("a"), 10.0) == [text("a")]


@pytest.mark.parametrize("repeated", ["!", '."', " ", "\n", "。", "a"])
def test_the_work_is_linear_in_the_text(repeated: str) -> None:
    """The search for the end of a sentence runs in C: were it quadratic, a million characters would take minutes and
    end in the timeout of the test."""
    assert_linear(lambda size: pieces(repeated * size, "x", size=10**9), 10_000)
    text = repeated * 1_000_000
    assert "".join(map(str, pieces(text, "x", size=10**9))) == text + "x"
