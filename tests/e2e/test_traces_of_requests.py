"""Risk: ``modelmux trace`` does not find a request of another worker, or explains it wrongly: its attempts, its end,
where its prompt stopped being that of the turn before.

With real processes: two workers, an emulator, the command.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.cli import run_process
from support.processes import Process
from support.workers import until

MODEL = "claude-sonnet-4-6"
MORE = """
[traces]
enabled = true
[retries]
max = 2
[[vertex.models]]
name = "claude-sonnet-4-6"
deployments = [{ location = "us-east5" }, { location = "europe-west1", order = 1 }]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def traced(serve: Callable[..., Process], emulate: Callable[..., Process], folder: Path) -> Process:
    return serve(emulate().url, server=f'workers = 2\nstate_dir = "{folder}"', more=MORE)


def send(gateway: Process, messages: list[Any], *, path: str = "/v1/messages", **fields: Any) -> tuple[str, bytes]:
    """A request on a connection of its own: its id and the reply."""
    headers = {"content-type": "application/json", "connection": "close"} | fields.pop("headers", {})
    body = {"model": MODEL, "max_tokens": 200, "messages": messages} | fields
    request = urllib.request.Request(gateway.url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=100) as response:
            return response.headers["x-request-id"], response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.headers["x-request-id"], error.read()


def run(folder: Path, *arguments: str) -> Any:
    return run_process("trace", *arguments, "--set", f"server.state_dir={folder}", home=folder)


def record(folder: Path, id: str) -> dict[str, Any]:
    """What the command says, once the worker has written it."""
    until(lambda: run(folder, id).code == 0)
    answer: dict[str, Any] = json.loads(run(folder, id, "--json").stdout)
    return answer


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_a_conversation_tells_where_its_prompt_was_changed(traced: Process, folder: Path) -> None:
    long = "This is the system prompt of a long conversation. " * 400
    fixed = {"system": [{"type": "text", "text": long, "cache_control": {"type": "ephemeral"}}]}
    turns = [user("say exactly: one")]
    first, _ = send(traced, turns, **fixed)
    turns += [{"role": "assistant", "content": "one"}, user("say exactly: two")]
    second, _ = send(traced, turns, **fixed)
    fixed["system"][0]["text"] += "It was changed."
    turns += [{"role": "assistant", "content": "two"}, user("say exactly: three")]
    third, _ = send(traced, turns, **fixed)
    turns[1] = {"role": "assistant", "content": "other"}
    turns += [{"role": "assistant", "content": "three"}, user("say exactly: four")]
    fourth, _ = send(traced, turns, **fixed)

    prompt = record(folder, first)["prompt"]
    assert (prompt["previous_turn"], prompt["messages"], prompt["system_blocks"]) == (None, 1, 1)

    answer = record(folder, second)
    assert answer["prompt"]["previous_turn"] == first
    assert answer["prompt"]["extends_previous_turn"]
    assert answer["request"]["tokens"]["cache_read"] > 1000

    answer = record(folder, third)
    assert answer["prompt"]["previous_turn"] == second
    assert answer["prompt"]["first_difference"] == {
        "part": "system", "kind": "changed", "from": 1, "to": 1, "role": None
    }  # fmt: skip
    assert answer["request"]["tokens"]["cache_read"] == 0

    answer = record(folder, fourth)
    assert answer["prompt"]["previous_turn"] == third
    assert answer["prompt"]["first_difference"] == {
        "part": "messages", "kind": "changed", "from": 2, "to": 2, "role": "assistant"
    }  # fmt: skip
    text = run(folder, fourth).stdout
    assert "The prompt is that of the previous turn up to message 1; message 2 (assistant) was changed" in text
    assert f"previous turn: {third}" in text
    assert "system prompt of a long" not in text


def test_a_session_of_two_workers_is_one_conversation(traced: Process, folder: Path) -> None:
    headers = {"x-claude-code-session-id": "a-session"}
    ids = [send(traced, [user("begin"), *([{"role": "assistant", "content": "ok"}, user("more")] * count)],
                headers=headers)[0] for count in range(6)]  # fmt: skip
    for before, after in itertools.pairwise(ids):
        prompt = record(folder, after)["prompt"]
        assert (prompt["previous_turn"], prompt["extends_previous_turn"]) == (before, True)


def test_a_failover_and_a_retry_are_attempts_with_their_times(traced: Process, folder: Path) -> None:
    id, _ = send(traced, [user("[[emulator: status=529 times=2 key=failover]] say exactly: hello")])
    request = record(folder, id)["request"]
    first, *others = request["attempts"]
    assert first["result"] == "overloaded"
    assert first["location"] == "us-east5"
    assert [one["result"] for one in others] == ["overloaded", "ok"]
    times = [time for one in request["attempts"] for time in (one["started_ms"], one["ended_ms"])]
    assert times == sorted(times)
    assert times[-1] <= request["duration_ms"]
    text = run(folder, id).stdout
    assert "attempt 1: called claude-sonnet-4-6@us-east5" in text
    assert "attempt 2, a retry: called claude-sonnet-4-6@europe-west1" in text


def test_a_broken_stream_says_why_it_ended(traced: Process, folder: Path) -> None:
    id, reply = send(traced, [user("[[emulator: error_after_event=3]] say exactly: a few words here")], stream=True)
    assert b"error" in reply
    request = record(folder, id)["request"]
    assert request["outcome"] == "upstream_error"
    assert request["attempts"][-1]["result"] not in ("ok", "upstream_error")
    assert request["first_content_ms"] > 0


def test_the_client_finds_its_own_id_and_that_of_the_reply(traced: Process, folder: Path) -> None:
    id, reply = send(traced, [user("say exactly: hello")], headers={"x-request-id": "mine-1"})
    assert id == "mine-1"
    shown = record(folder, "mine-1")["request"]
    assert record(folder, json.loads(reply)["id"])["request"] == shown
    send(traced, [user("say exactly: again")], headers={"x-request-id": "mine-1"})
    until(lambda: "an earlier request has the same id" in run(folder, "mine-1").stderr)


def test_both_workers_write_and_the_latest_are_listed(traced: Process, folder: Path) -> None:
    ids = [send(traced, [user(f"say exactly: {number}")])[0] for number in range(20)]
    until(lambda: all(id in run(folder, "-n", "50").stdout for id in ids))
    assert ids[-1] in run(folder, "--last").stdout
    with sqlite3.connect(folder / "traces.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (largest,) = connection.execute("SELECT max(length(request) + length(prompt)) FROM details").fetchone()
    assert largest < 4096


def test_an_unknown_id_and_records_that_are_off_say_what_to_do(traced: Process, folder: Path, tmp_path: Path) -> None:
    record(folder, send(traced, [user("say exactly: hello")])[0])
    unknown = run(folder, "req_unknown", "--set", "traces.enabled=true")
    assert unknown.code == 1
    assert "no request has the id req_unknown" in unknown.stderr
    assert "The latest 10,000 requests are kept, for 7 days at most." in unknown.stderr
    off = run(tmp_path, "req_unknown")
    assert off.code == 1
    assert "no records of requests are kept" in off.stderr
    assert "traces.enabled = true" in off.stderr
