"""Long sessions of the Codex CLI: compaction by itself and by the gateway, silences, broken replies, WebSockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.claude.prefill import CONTINUE
from modelmux.dialects.registry import SURFACES
from support.codex import GREETING, Codex, answer, blocks, signatures
from support.emulator_log import Received
from support.processes import Process

pytestmark = [
    pytest.mark.skipif(
        not any(surface.path == "/v1/responses" for surface in SURFACES), reason="/v1/responses is not served yet"
    ),
]

KEY = "sk-e2e-codex-sessions-1f83"
#: It compacts before each request that continues a turn or begins the next one.
COMPACTS = ("-c", "model_auto_compact_token_limit=1000")
#: It has the server compact only where it takes the provider for OpenAI.
REMOTE = ("-c", 'model_providers.modelmux.name="OpenAI"')
#: The output of the script gets into the summary, and keeps the emulated model from calling the tool again after it.
LOOP = 'Use the exec_command tool for "./note.sh"'
SCRIPT = "#!/bin/sh\necho the treasure can be found without tools\n"


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture(scope="module")
def front(serve: Callable[..., Process], upstream: Process) -> Process:
    return serve(upstream.url, server=f'api_keys = ["{KEY}"]')


@pytest.fixture
def received(upstream: Process) -> Iterator[Received]:
    received = Received(upstream.url)
    received.forget()
    return received


@pytest.fixture
def codex(front: Process, tmp_path: Path) -> Codex:
    codex = Codex(tmp_path, front.url, KEY)
    script = codex.folder / "note.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    return codex


def texts(request: dict[str, Any]) -> str:
    """All texts of the user in a request to Vertex AI."""
    return "\n".join(block["text"] for block in blocks(request, "user", "text"))


def test_it_summarises_by_itself_in_the_middle_of_a_turn(codex: Codex, received: Received) -> None:
    """The request for the summary has no tools, but calls in its history, and thinking that was signed with tools."""
    result = codex.run(LOOP, *COMPACTS)
    assert (result.code, result.errors) == (0, [])
    first, summary, last = [request for request in received.all() if request["status"] == 200]
    assert first["body"]["tools"]
    assert "CONTEXT CHECKPOINT COMPACTION" in texts(summary)
    assert "Another language model started to solve this problem" in texts(last)
    assert blocks(last, "assistant", "tool_use") == []


def test_it_summarises_by_itself_between_turns(codex: Codex, received: Received) -> None:
    codex.run(answer("the first answer"))
    received.forget()
    result = codex.resume(answer("the second answer"), *COMPACTS)
    assert (result.texts, result.errors) == (["the second answer"], [])
    summary, last = [request for request in received.all() if request["status"] == 200]
    assert "CONTEXT CHECKPOINT COMPACTION" in texts(summary)
    assert "the first answer" not in str(blocks(last, "assistant", "text"))


def test_the_gateway_summarises_in_the_middle_of_a_turn(codex: Codex, received: Received) -> None:
    result = codex.run(LOOP, *COMPACTS, *REMOTE)
    assert (result.code, result.errors) == (0, [])
    _, summary, last = [request for request in received.all() if request["status"] == 200]
    assert "CONTEXT CHECKPOINT COMPACTION" not in texts(summary), "the words are the gateway's"
    assert "<conversation_summary>" in texts(last)
    assert blocks(last, "assistant", "tool_use") == []


def test_the_gateway_summarises_again_and_again(codex: Codex, received: Received) -> None:
    codex.run(answer("the first answer"), *REMOTE)
    for turn in ("second", "third", "fourth"):
        received.forget()
        result = codex.resume(answer(f"the {turn} answer"), *COMPACTS, *REMOTE)
        assert (result.texts, result.errors) == ([f"the {turn} answer"], [])
        *_, last = [request for request in received.all() if request["status"] == 200]
        assert texts(last).count("<conversation_summary>") == 1


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-4-6"])
@pytest.mark.parametrize("fault", ["truncate", "reset", "error"])
def test_it_goes_on_after_a_reply_that_broke_off(codex: Codex, received: Received, model: str, fault: str) -> None:
    """At any event. It sends the items back that were complete: thinking alone, or a message as the last one, which the
    model is asked to continue; the emulated one repeats that."""
    for event in range(6, 40, 2 if fault == "error" else 8):
        received.forget()
        prompt = f'[[emulator: {fault}_after_event={event} times=1]] Use the exec_command tool for "echo the oak"'
        result = codex.run(prompt, "--model", model)
        assert result.code == 0, (event, result.events)
        assert "the oak" in result.texts[-1] or result.texts[-1] == f"You said: {CONTINUE}"
        assert [error for error in result.errors if not error.startswith("Reconnecting... 1/5")] == []
        assert {request["status"] for request in received.all()} == {200}


def test_a_pause_of_the_model_is_no_broken_stream(codex: Codex, received: Received) -> None:
    """Codex gives up after a silence of events, here a short one; comments do not count."""
    result = codex.run(
        "[[emulator: stall_after_event=4 stall=95]] hello",
        "-c", "model_providers.modelmux.stream_idle_timeout_ms=80000",
    )  # fmt: skip
    assert (result.texts, result.errors) == ([GREETING], [])
    assert len(received.all()) == 1


def test_a_websocket_is_refused_at_once_and_the_answer_comes_by_http(codex: Codex, received: Received) -> None:
    result = codex.run(answer("by HTTP"), "-c", "model_providers.modelmux.supports_websockets=true")
    assert (result.texts, result.errors, result.code) == (["by HTTP"], [], 0)
    assert len(received.all()) == 1


def test_a_model_by_another_name_is_known_to_it(
    serve: Callable[..., Process], upstream: Process, tmp_path: Path, received: Received
) -> None:
    front = serve(upstream.url, server=f'api_keys = ["{KEY}"]', more='[aliases]\n"gw-fast" = "claude-haiku-5-5"\n')
    codex = Codex(tmp_path, front.url, KEY, config='[vertex]\nproject = "p"\nlocation = "global"\n'
                                                   '[aliases]\n"gw-fast" = "claude-haiku-5-5"\n')  # fmt: skip
    result = codex.run(answer("fast"), "--model", "gw-fast", "-c", 'model_reasoning_effort="none"')
    assert (result.texts, result.errors) == (["fast"], [])
    (request,) = received.all()
    assert "/claude-haiku-5-5:" in request["path"]
    assert request["body"]["thinking"] == {"type": "disabled"}
    assert signatures(request) == []
