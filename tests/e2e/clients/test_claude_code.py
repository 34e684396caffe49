"""Claude Code, the agent itself, offline except for the gateway: as a client of Anthropic's API, and of Vertex AI."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from modelmux.dialects.registry import SURFACES
from support import clients
from support.emulator_log import Received
from support.processes import Process

MODEL = "claude-opus-5-5"
KEY = "sk-e2e-claude-code-7c1e94d20f"
COUNTS = any(surface.operation == "count_tokens" for surface in SURFACES)
#: What it asks for in the mode of Anthropic's API, and what of it comes to Vertex AI.
BETAS = {
    "messages": {
        "claude-code-20250219",
        "interleaved-thinking-2025-05-14",
        "context-management-2025-06-27",
        "per-turn-control-2026-07-01",
        "mid-conversation-tool-changes-2026-07-01",
        "thinking-token-count-2026-05-13",
        "tool-search-tool-2025-10-19",  # sent as advanced-tool-use-2025-11-20
        "effort-2025-11-24",
    },
    "vertex": {
        "claude-code-20250219",
        "interleaved-thinking-2025-05-14",
        "web-search-2025-03-05",
        "thinking-token-count-2026-05-13",
        "tool-search-tool-2025-10-19",
        "effort-2025-11-24",
    },
}

Events = list[dict[str, Any]]


class Result(NamedTuple):
    """What it printed: ``end`` is the last event, with the outcome."""

    events: Events

    @property
    def end(self) -> dict[str, Any]:
        return self.events[-1]

    def blocks(self, role: str, type: str) -> Events:
        """The content blocks of all messages of a role."""
        messages = [event["message"]["content"] for event in self.events if event["type"] == role]
        return [
            block for content in messages if isinstance(content, list) for block in content if block["type"] == type
        ]


ClaudeCode = Callable[..., Result]


def settings(mode: str, url: str, key: str | None) -> dict[str, str]:
    """The environment that points it at a gateway."""
    token = {} if key is None else {"ANTHROPIC_AUTH_TOKEN": key}
    if mode == "messages":
        return token | {"ANTHROPIC_BASE_URL": url}
    return token | {
        "CLAUDE_CODE_USE_VERTEX": "1",
        "CLAUDE_CODE_SKIP_VERTEX_AUTH": "1",
        "ANTHROPIC_VERTEX_BASE_URL": url,
        "ANTHROPIC_VERTEX_PROJECT_ID": "not-the-gateways-project",
        "CLOUD_ML_REGION": "us-east5",
    }


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture(scope="module")
def front(serve: Callable[..., Process], upstream: Process) -> Process:
    return serve(upstream.url, server=f'api_keys = ["{KEY}"]')


@pytest.fixture(scope="module")
def plain(serve: Callable[..., Process], upstream: Process) -> Process:
    """A gateway that retries nothing, so that each attempt that reaches the upstream is one of the client."""
    return serve(upstream.url, server=f'api_keys = ["{KEY}"]', more="[retries]\nmax = 0\n")


@pytest.fixture(params=["messages", "vertex"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def received(upstream: Process) -> Iterator[Received]:
    received = Received(upstream.url)
    received.forget()
    return received


@pytest.fixture
def claude(front: Process, mode: str, tmp_path: Path) -> ClaudeCode:
    """Runs it once, in a folder and with a home of its own, without asking anything back."""
    clients.needed(clients.CLAUDE_CODE)
    folder = tmp_path / "work"
    folder.mkdir()
    script = folder / "note.sh"
    script.write_text("#!/bin/sh\necho the treasure is under the oak\n")
    script.chmod(0o755)

    def run(
        prompt: str, *options: str, url: str = front.url, key: str | None = KEY, model: str = MODEL, **more: str
    ) -> Result:
        ended = subprocess.run(
            [clients.CLAUDE_CODE, "-p", "--output-format", "stream-json", "--verbose", "--model", model, *options],
            env=clients.environment(tmp_path)
            | settings(mode, url, key)
            | {
                "DISABLE_TELEMETRY": "1",
                "DISABLE_ERROR_REPORTING": "1",
                "DISABLE_AUTOUPDATER": "1",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "CLAUDE_CODE_MAX_RETRIES": "2",
                "IS_SANDBOX": "1",
            }
            | more,
            cwd=folder,
            input=prompt,
            capture_output=True,
            text=True,
            timeout=clients.SECONDS,
            check=False,
        )
        events = [json.loads(line) for line in ended.stdout.splitlines()]
        assert events, ended.stderr
        assert events[-1]["type"] == "result", ended.stdout + ended.stderr
        return Result(events)

    return run


def answer(text: str) -> str:
    """A prompt that the emulated model answers with ``text``, whatever tools there are."""
    return f'[[emulator: answer="{text}"]] hello'


#: The emulated model's answer to a greeting.
GREETING = "Hello! How can I help you today?"
#: How it says that the upstream does not have the model.
NOT_THERE = {
    "messages": "There's an issue with the selected model",
    "vertex": f"The model {MODEL} is not available on your vertex deployment",
}


def test_it_answers_by_a_stream_with_its_own_tools_and_betas(claude: ClaudeCode, received: Received, mode: str) -> None:
    result = claude(answer("the gateway works"))
    assert (result.end["result"], result.end["is_error"]) == ("the gateway works", False)
    assert result.end["usage"]["output_tokens"] > 0
    (request,) = received.all()
    assert request["path"].startswith("/v1/projects/e2e-project/locations/global/")
    assert request["path"].endswith(f"/{MODEL}:streamRawPredict")
    assert set(request["headers"]["anthropic-beta"].split(",")) >= BETAS[mode]
    assert "x-claude-code-session-id" not in request["headers"]
    body = request["body"]
    assert (body["stream"], body["anthropic_version"]) == (True, "vertex-2023-10-16")
    assert {"Bash", "Read"} <= {tool["name"] for tool in body["tools"]}
    assert ("context_management" in body) is (mode == "messages")
    # Its attribution comes first and unchanged.
    assert body["system"][0]["text"].startswith("x-anthropic-billing-header: cc_version=")


def test_it_calls_two_tools_at_once_and_thinks_over_several_turns(
    claude: ClaudeCode, received: Received, tmp_path: Path
) -> None:
    """With a model that refuses a history whose thinking has changed."""
    script = tmp_path / "work" / "note.sh"
    first = claude(f'Use the Read tool and the Bash tool for "{script}"', "--allowedTools", "Read,Bash")
    assert {call["name"] for call in first.blocks("assistant", "tool_use")} == {"Read", "Bash"}
    assert first.end["num_turns"] == 3
    assert "Bash returned: the treasure is under the oak" in first.end["result"]
    second = claude(answer("thank you"), "--continue")
    assert second.end["result"] == "thank you"
    signatures = [block["signature"] for block in first.blocks("assistant", "thinking")]
    assert len(signatures) >= 3
    blocks = [
        block for m in received.all()[-1]["body"]["messages"] if m["role"] == "assistant" for block in m["content"]
    ]
    assert [block["signature"] for block in blocks if block["type"] == "thinking"] == signatures
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert len(calls) == 2


def test_plain_requests_end_after_few_calls(claude: ClaudeCode, received: Received) -> None:
    """An emulated model that calls its tool for subagents by any word of its description never ends."""
    assert claude("list the files").end["is_error"] is False
    assert len(received.all()) == 1
    assert claude("say exactly: use the Agent tool").end["result"] == "use the Agent tool"
    assert len(received.all()) == 2


def test_a_subagent_does_not_start_another(claude: ClaudeCode, received: Received) -> None:
    result = claude("Use the Agent tool to list the files")
    assert [call["name"] for call in result.blocks("assistant", "tool_use")] == ["Agent"]
    assert result.end["is_error"] is False
    assert 3 <= len(received.all()) <= 4  # its own two, the subagent's, and perhaps one for a notification


def test_a_command_that_is_not_quoted_lists_the_folder(claude: ClaudeCode) -> None:
    result = claude("use the Bash tool to run ls", "--allowedTools", "Bash")
    (call,) = result.blocks("assistant", "tool_use")
    assert (call["name"], call["input"]["command"]) == ("Bash", "ls -la")
    assert "note.sh" in result.end["result"]


@pytest.mark.skipif(not COUNTS, reason="the gateway has no operation count_tokens yet")
def test_it_counts_what_fills_its_context(claude: ClaudeCode, received: Received) -> None:
    result = claude("/context")
    assert "**Tokens:**" in result.end["result"]
    counted = [request for request in received.all() if request["path"].endswith("/count-tokens:rawPredict")]
    assert len(counted) > 5
    assert {request["status"] for request in counted} == {200}
    assert {request["headers"].get("anthropic-beta") for request in counted} == {None}


def test_a_long_context_model_is_a_beta_not_a_name(claude: ClaudeCode, received: Received) -> None:
    result = claude(answer("long"), model="claude-sonnet-4-6[1m]")
    assert result.end["result"] == "long"
    (request,) = received.all()
    assert "/claude-sonnet-4-6:" in request["path"]
    assert "context-1m-2025-08-07" in request["headers"]["anthropic-beta"]


def test_a_name_of_the_gateways_own_is_a_model(
    claude: ClaudeCode, serve: Callable[..., Process], upstream: Process, received: Received, mode: str
) -> None:
    front = serve(upstream.url, server=f'api_keys = ["{KEY}"]', more='[aliases]\n"gw-fast" = "claude-sonnet-5-5"\n')
    assert claude(answer("fast"), url=front.url, model="gw-fast").end["result"] == "fast"
    requests = received.all()
    assert all("/claude-sonnet-5-5:" in request["path"] for request in requests)
    # In Vertex mode it takes an unknown name for an older model, and learns from the words of the 400.
    assert [request["status"] for request in requests] == ([200] if mode == "messages" else [400, 200])


@pytest.mark.parametrize("mode", ["messages"])
def test_a_beta_that_the_upstream_refuses_costs_a_retry_of_the_gateway(
    claude: ClaudeCode, emulate: Callable[..., Process], serve: Callable[..., Process]
) -> None:
    strict = emulate("--refuse-beta", "thinking-token-count-2026-05-13")
    front = serve(strict.url, server=f'api_keys = ["{KEY}"]', more="[retries]\nmax = 0\n")
    received = Received(strict.url)
    for statuses in ([400, 200], [400, 200, 200]):  # it is remembered
        result = claude(answer("in spite of it"), url=front.url)
        assert result.end["result"] == "in spite of it"
        assert [request["status"] for request in received.all()] == statuses
    assert "thinking-token-count" not in received.all()[-1]["headers"]["anthropic-beta"]


def test_a_400_is_shown_in_the_words_of_the_upstream(claude: ClaudeCode) -> None:
    result = claude('[[emulator: status=400 message="no such luck"]] hello')
    assert result.end["is_error"] is True
    assert result.end["api_error_status"] == 400
    assert result.end["result"] == "API Error: 400 no such luck"


def test_a_model_that_is_not_there_is_tried_once_more_without_a_stream(
    claude: ClaudeCode, received: Received, mode: str
) -> None:
    result = claude("[[emulator: status=404]] hello")
    assert result.end["api_error_status"] == 404
    assert NOT_THERE[mode] in result.end["result"]
    assert [request["body"]["stream"] for request in received.all()] == [True, False]


def test_a_model_that_the_gateway_does_not_have_is_an_issue_with_the_model(
    claude: ClaudeCode, received: Received
) -> None:
    result = claude(answer("never"), model="claude-opus-9-9")
    assert result.end["api_error_status"] == 404
    assert "issue with the selected model" in result.end["result"]
    assert received.all() == []


@pytest.mark.parametrize("status", [429, 529])
def test_it_waits_for_a_busy_upstream(claude: ClaudeCode, received: Received, plain: Process, status: int) -> None:
    result = claude(f"[[emulator: status={status} times=2 retry_after=0.05]] hello", url=plain.url)
    assert (result.end["result"], result.end["is_error"]) == (GREETING, False)
    assert [request["status"] for request in received.all()] == [status, status, 200]


def test_the_gateway_waits_in_its_place(claude: ClaudeCode, received: Received) -> None:
    result = claude("[[emulator: status=529 times=2 retry_after=0.05]] hello")
    assert result.end["result"] == GREETING
    assert not [event for event in result.events if event.get("subtype") == "api_retry"]
    assert [request["status"] for request in received.all()] == [529, 529, 200]


def test_a_busy_upstream_is_named_in_the_end(claude: ClaudeCode, plain: Process) -> None:
    result = claude("[[emulator: status=529 retry_after=0.05]] hello", url=plain.url)
    assert result.end["api_error_status"] == 529
    assert "Overloaded" in result.end["result"]


@pytest.mark.parametrize("words", ["truncate_after_event=8", "reset_after_event=8", "error_after_event=8"])
def test_a_reply_that_breaks_off_is_asked_for_again(claude: ClaudeCode, received: Received, words: str) -> None:
    """Once content has been sent the gateway may not try again: the client has to, because it was told."""
    result = claude(f"[[emulator: {words} times=1]] hello")
    assert (result.end["result"], result.end["is_error"]) == (GREETING, False)
    assert len(received.all()) == 2


def test_a_key_of_another_gateway_is_refused(claude: ClaudeCode, received: Received, mode: str) -> None:
    result = claude(answer("never"), key="sk-somebody-elses")
    assert result.end["api_error_status"] == 401
    assert "The API key in the header 'Authorization' is not valid here." in result.end["result"]
    if mode == "messages":  # in Vertex mode it takes every 401 for an expired token of Google's
        assert not [event for event in result.events if event.get("subtype") == "api_retry"]
    assert received.all() == []


def test_a_google_token_in_place_of_a_key_is_refused_with_a_hint(claude: ClaudeCode, received: Received) -> None:
    result = claude(answer("never"), key="ya29.a0AfH6SMBx-not-a-real-token")
    assert result.end["api_error_status"] == 401
    assert "Pass the gateway's key as the access token." in result.end["result"]
    assert received.all() == []


def test_the_output_of_a_key_helper_is_accepted(claude: ClaudeCode, mode: str, tmp_path: Path) -> None:
    """It sends such a key in both headers."""
    if mode == "vertex":
        pytest.skip("a key helper belongs to the mode of Anthropic's API")
    options = json.dumps({"apiKeyHelper": f"echo {KEY}"})
    assert claude(answer("helped"), "--settings", options, key=None).end["result"] == "helped"


@pytest.mark.parametrize("mode", ["vertex"])
def test_vertex_mode_without_a_key_works_only_where_that_is_set(
    claude: ClaudeCode, serve: Callable[..., Process], upstream: Process
) -> None:
    keyless = serve(upstream.url, server=f'api_keys = ["{KEY}"]\nkeyless_vertex_paths = true')
    assert claude(answer("come in"), url=keyless.url, key=None).end["result"] == "come in"
    # Where Google's own login is on, its token comes with every request; it is nothing to the gateway.
    assert claude(answer("come in"), url=keyless.url, key="ya29.a0AfH6SMBx-no-token").end["result"] == "come in"
    refused = claude(answer("never"), key=None)
    assert refused.end["api_error_status"] == 401
    assert refused.end["result"].startswith("Not logged in")


@pytest.mark.parametrize("mode", ["messages"])
def test_it_discovers_the_models(claude: ClaudeCode, tmp_path: Path) -> None:
    result = claude(answer("found"), CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY="1")
    assert result.end["result"] == "found"
    cached = json.loads((tmp_path / ".claude" / "cache" / "gateway-models.json").read_text())
    assert {MODEL, "claude-haiku-4-5"} <= {model["id"] for model in cached["models"]}


def test_its_probes_need_no_key(front: Process) -> None:
    """Of two versions; before its first request it asks whether anything is there."""
    for path in ("/", "/api/hello"):
        with urllib.request.urlopen(urllib.request.Request(front.url + path, method="HEAD")) as response:
            assert (response.status, response.read()) == (200, b"")
