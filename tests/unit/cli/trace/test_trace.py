"""``modelmux trace``: what it says of the prompt cache, and what to do where it finds nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from modelmux.claude.prompt_digests import PromptDigests
from modelmux.cli.trace.timeline import explained, listed
from modelmux.store.traces.prompt_cache import as_json, duration, sentences
from modelmux.store.traces.record import Tokens, Trace, TracedAttempt, TracedNotice
from support.captures import keep
from support.cli import CommandResult
from support.cli import run as run_command
from support.traces import AT, MODEL, SECOND, trace, write

TOOLS = [{"name": "one"}, {"name": "two"}]


def said(before: Trace, after: Trace) -> str:
    return " ".join(sentences(after, before))


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (["a"], ["a"], "The prompt is that of the previous turn; nothing was added."),
        (["a"], ["a", "b"], "The prompt extends that of the previous turn, which is unchanged, by 1 message."),
        (["a", "b", "c"], ["a", "B", "c", "d", "e"],
         """The prompt is that of the previous turn up to message 1; message 2 (assistant) was changed, so the
         cache could be read up to message 1 at most (the previous turn had 3 messages, this one has 5)."""),
        (["a"], ["A", "b"],
         """Message 1 (user) was changed, so no message could be read from the cache (the previous turn had 1
         message, this one has 2)."""),
        (["a", "b", "c"], ["a", "b"],
         """The prompt is that of the previous turn up to message 2; this turn has no message 3 (user), so the
         cache could be read up to message 2 at most (the previous turn had 3 messages, this one has 2)."""),
    ],
)  # fmt: skip
def test_messages_that_differ_are_named(before: list[str], after: list[str], sentence: str) -> None:
    assert said(trace(1, before), trace(2, after)) == " ".join(sentence.split())


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ({"tools": TOOLS}, {"tools": TOOLS[::-1]},
         """Tool 1 was changed, so nothing could be read from the cache
         (the previous turn had 2 tools, this one has 2)."""),
        ({"tools": TOOLS[:1]}, {"tools": TOOLS},
         """The prompt is that of the previous turn up to tool 1; tool 2 was added, so the cache could be read
         up to tool 1 at most (the previous turn had 1 tool, this one has 2)."""),
        ({"system": "a"}, {"system": "b"},
         """System block 1 was changed, so nothing after the tools could be read from the cache (the previous
         turn had 1 system block, this one has 1)."""),
        ({}, {"speed": "fast"},
         """speed was changed, which invalidates the cache of messages. The prompt is that of the previous turn;
         nothing was added."""),
        ({}, {"speed": "fast", "thinking": {}, "tool_choice": {}},
         """tool_choice, thinking and speed were changed, which invalidates the cache of messages. The prompt is
         that of the previous turn; nothing was added."""),
    ],
)  # fmt: skip
def test_what_comes_before_the_messages_is_named(before: Any, after: Any, sentence: str) -> None:
    assert said(trace(1, body=before), trace(2, body=after)) == " ".join(sentence.split())


def test_of_a_long_conversation_the_message_is_between_two() -> None:
    texts = [str(number) for number in range(600)]
    text = said(trace(1, texts), trace(2, [*texts[:9], "x", *texts[10:]]))
    assert "up to message 9; one of the messages 10 to" in text or "one of the messages 10 to 13 was changed" in text


def test_what_makes_a_cache_useless_is_told() -> None:
    assert said(trace(1), trace(2, model="other")).startswith(
        "The previous turn was answered by claude-sonnet-4-6, this one by other: each model has a cache of its own. "
    )
    assert said(trace(1), trace(2, location="us-east5")).startswith(
        "The previous turn went to global, this one to us-east5: locations do not share a cache. "
    )
    assert said(trace(1), trace(2, seconds=1201)).startswith(
        "The previous turn was 20 min before: the cache lives five minutes, or an hour if asked. "
    )
    assert "neither read from the cache nor wrote to it" in said(trace(1, tokens=Tokens(5)), trace(2))
    other = trace(2)
    assert isinstance(other.prompt, PromptDigests)
    changed = Trace(other.request, other.conversation, type(other.prompt)(
        b"12345678", other.prompt.tools, other.prompt.system, other.prompt.messages, other.prompt.roles,
        other.prompt.settings,
    ))  # fmt: skip
    assert "the seal key of the gateway was changed" in said(trace(1), changed)


def test_a_first_turn_and_a_request_without_a_prompt() -> None:
    assert sentences(trace(1), None) == ["No earlier turn of this conversation is known."]
    bare = Trace(trace(1, attempts=(), tokens=None).request)
    assert sentences(bare, None) == []
    assert as_json(bare, None) is None
    shown = as_json(trace(1), None)
    assert shown is not None
    assert (shown["previous_turn"], shown["extends_previous_turn"], shown["first_difference"]) == (None, None, None)


def test_a_duration_has_the_unit_that_fits() -> None:
    assert [duration(seconds) for seconds in (0, 119, 120, 7199, 7200, 200_000)] == [
        "0 s", "119 s", "2 min", "120 min", "2 h", "2 d"
    ]  # fmt: skip


def test_all_that_is_known_is_shown_and_nothing_moves_the_cursor() -> None:
    attempts = (
        TracedAttempt("m@a", "m", 1.0, 2.0, "a", status=529, result="overloaded", message="Over\x1b[2Jloaded"),
        TracedAttempt("m@b", "m", 3.0, None, "b", retry=True, result="client_gone", first_content_ms=4.0),
    )
    notices = (TracedNotice("dropped", "temperature", "Why."), TracedNotice("ignored", None, "Unknown."))
    one = trace(
        1, attempts=attempts, notices=notices, missing_attempts=2, missing_notices=3, requested="gpt-4o", stream=True,
        outcome="client_gone", status=499, code="gone", message="It left.", retry_stopped="deadline", cost="0.5",
        row_id="req_row", trace_id="ab", key="key_1", stop_reason="end_turn", first_content_ms=4.0,
    )  # fmt: skip
    assert list(explained(one, trace(0), 200)) == [
        "request   req_1",
        "arrived   2026-11-30 03:00:01.000Z, openai_chat generate, stream, key key_1",
        "asked for gpt-4o",
        "route     claude-sonnet-4-6",
        "outcome   client_gone 499 gone, 51.0 ms, first content after 4.0 ms, end_turn",
        "          It left.",
        "          no further attempt: deadline",
        "tokens    60 in (20 from the cache), 4 out",
        "cost      $0.5",
        "bytes     0 in, 0 out",
        "ledger    req_row",
        "trace     ab",
        "notices   dropped temperature: Why.",
        "          ignored (a field of its own): Unknown.",
        "          and 3 more",
        "",
        "       0.0 ms  the request arrived",
        "       1.0 ms  (2 attempts before)",
        "       1.0 ms  attempt 3: called m@a",
        "       2.0 ms  attempt 3: overloaded, status 529: Over\\x1b[2Jloaded",
        "       3.0 ms  attempt 4, a retry: called m@b",
        "       4.0 ms  attempt 4: the client got the first content",
        "      51.0 ms  the request ended: client_gone 499",
        "",
        "cache     20 tokens read, 30 written, 10 not cached",
        f"          The previous turn was answered by {MODEL}, this one by m: each model has a cache of its own.",
        "          The prompt is that of the previous turn; nothing was added.",
        "          previous turn: req_0, 1 s before",
    ]
    (line,) = listed([one])
    assert line.startswith("2026-11-30 03:00:01Z req_1  499 client_gone gone claude-sonnet-4-6 51 ms 2 attempts 60 in")
    bare = Trace(trace(1, attempts=(), tokens=None, route=None, requested=None).request)
    assert list(listed([bare])) == ["2026-11-30 03:00:01Z req_1  200 ok - 51 ms"]
    assert "cache     no usage was reported" in list(explained(trace(1, tokens=None), None, 80))


# --- the command ------------------------------------------------------------------------------------------------------


def run(folder: Path, *arguments: str) -> CommandResult:
    return run_command("trace", *arguments, "--set", f"server.state_dir={folder}", home=folder)


def test_bodies_that_were_captured_are_shown(tmp_path: Path) -> None:
    begin = round(time.time()) - AT // SECOND - 60
    shown = trace(1, seconds=begin, is_captured=True)
    write(tmp_path / "traces.db", [shown], AT + begin * SECOND)
    gone = run(tmp_path, "req_1")
    assert gone.code == 0
    assert "its bodies were captured and are not there any more: they are kept for 3 days" in gone.stderr
    keep(tmp_path / "captures.db", shown, b'{"prompt":"' + b"long " * 1_500 + b'"}', response=b"response\x1b[2J")
    text = run(tmp_path, "req_1").stdout
    assert "--- client's request, POST /v1/messages, 7,513 bytes" in text
    assert "… 3,513 more characters; --json prints all" in text
    assert '--- attempt 1, request to the upstream, 16 bytes\n{"max_tokens":1}' in text
    assert "--- attempt 1, reply, 11 bytes\ndata: reply" in text
    assert "--- attempt 2, reply: none" in text
    assert "--- client's response, 50 bytes, cut\nresponse[2J" in text
    bodies = json.loads(run(tmp_path, "req_1", "--json").stdout)["bodies"]
    assert bodies["request"]["text"].endswith('long "}')
    assert bodies["headers"] == {"anthropic-beta": "b"}
    assert [one["number"] for one in bodies["attempts"]] == [1, 2]
    (tmp_path / "traces.db").unlink()
    assert "--- client's request" in run(tmp_path, "req_1").stdout  # bodies are kept longer than records


def test_bodies_of_a_moment_ago_are_not_written_yet(tmp_path: Path) -> None:
    now = time.time() - AT / SECOND
    write(tmp_path / "traces.db", [trace(1, seconds=now + 1000, is_captured=True)], AT + round(now * SECOND))
    assert "not written yet" in run(tmp_path, "req_1").stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With two turns and another request, all of a moment ago."""
    begin = round(time.time()) - AT // SECOND - 60
    traces = [trace(number, texts, seconds=begin + number) for number, texts in enumerate((["a"], ["a", "b"], ["z"]))]
    write(tmp_path / "traces.db", traces, AT + begin * SECOND)
    return tmp_path


def test_a_request_is_explained_for_people_and_machines(folder: Path) -> None:
    text = run(folder, "req_1")
    assert (text.code, text.stderr) == (0, "")
    assert "previous turn: req_0, 1 s before" in text.stdout
    answer = json.loads(run(folder, "req_1", "--json").stdout)
    assert answer["request"]["attempts"][0]["result"] == "ok"
    assert answer["request"]["tokens"] == {"input": 10, "cache_read": 20, "cache_write": 30, "output": 4}
    assert answer["prompt"] == {
        "tools": 0,
        "system_blocks": 0,
        "messages": 2,
        "previous_turn": "req_0",
        "extends_previous_turn": True,
        "changed_settings": [],
        "first_difference": None,
        "explanation": ["The prompt extends that of the previous turn, which is unchanged, by 1 message."],
    }


def test_the_latest_are_listed_or_explained(folder: Path) -> None:
    lines = run(folder).stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["req_2", "req_1", "req_0"]
    assert len(run(folder, "-n", "1").stdout.splitlines()) == 1
    assert [one["request_id"] for one in json.loads(run(folder, "--json").stdout)] == ["req_2", "req_1", "req_0"]
    assert run(folder, "--last").stdout.startswith("request   req_2")
    assert run(folder, "req_1", "--last").code == 2


def test_what_is_not_there_has_a_remedy(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    unknown = run(folder, "req_9")
    assert (unknown.code, unknown.stdout) == (1, "")
    assert "no request has the id req_9" in unknown.stderr
    assert "Of several nodes, each has what it served itself." in unknown.stderr
    assert "The latest 10,000 requests are kept, for 7 days at most." in unknown.stderr
    assert "No records are kept at the moment. Set traces.enabled = true" in unknown.stderr
    on = run(folder, "req_9", "--set", "traces.enabled=true")
    assert "No records are kept" not in on.stderr
    assert "no records of requests are kept" in run(empty, "req_9").stderr
    made = run(empty, "req_9", "--set", "traces.enabled=true")
    assert f"{empty / 'traces.db'} does not exist" in made.stderr
    write(empty / "traces.db", [])
    assert "there are no records of requests yet" in run(empty).stderr
    (empty / "traces.db").write_bytes(b"x" * 4096)
    assert "is damaged" in run(empty).stderr
