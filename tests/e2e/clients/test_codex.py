"""The Codex CLI, the agent itself, offline except for the gateway: as a client of OpenAI's Responses API."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelmux.dialects.registry import SURFACES
from support import clients
from support.codex import GREETING, RETRIES, Codex, answer, at, blocks, signatures, text_of
from support.emulator_log import Received
from support.processes import Process

pytestmark = [
    pytest.mark.skipif(
        not any(surface.path == "/v1/responses" for surface in SURFACES), reason="/v1/responses is not served yet"
    ),
]

MODEL = "claude-opus-5-5"
KEY = "sk-e2e-codex-5b1f0c77d2"
SEAL_KEYS = [hashlib.sha256(name).hexdigest() for name in (b"one", b"two")]


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture(scope="module")
def front(serve: Callable[..., Process], upstream: Process) -> Process:
    return serve(upstream.url, server=f'api_keys = ["{KEY}"]\nseal_keys = ["{SEAL_KEYS[0]}"]')


@pytest.fixture(scope="module")
def plain(serve: Callable[..., Process], upstream: Process) -> Process:
    """A gateway that retries nothing, so that each attempt that reaches the upstream is one of the client."""
    return serve(upstream.url, server=f'api_keys = ["{KEY}"]', more="[retries]\nmax = 0\n")


@pytest.fixture
def received(upstream: Process) -> Iterator[Received]:
    received = Received(upstream.url)
    received.forget()
    return received


@pytest.fixture
def codex(front: Process, tmp_path: Path) -> Codex:
    codex = Codex(tmp_path, front.url, KEY)
    script = codex.folder / "note.sh"
    script.write_text("#!/bin/sh\necho the treasure is under the oak\n")
    script.chmod(0o755)
    (codex.folder / "picture.png").write_bytes(clients.PICTURE)
    return codex


def test_it_knows_the_model_and_answers_by_a_stream(codex: Codex, received: Received) -> None:
    result = codex.run(answer("the gateway works"))
    assert (result.texts, result.errors, result.code) == (["the gateway works"], [], 0)
    assert result.usage["output_tokens"] > 0
    (request,) = received.all()
    assert request["path"].startswith("/v1/projects/e2e-project/locations/global/")
    assert request["path"].endswith(f"/{MODEL}:streamRawPredict")
    body = request["body"]
    assert {"exec_command", "apply_patch", "multi_agent_v1__wait_agent"} <= {tool["name"] for tool in body["tools"]}
    assert body["system"][0]["text"].startswith("You are Codex")
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["output_config"] == {"effort": "medium"}
    assert "prompt_cache_key" not in body


def test_without_the_catalogue_it_warns_and_works(front: Process, tmp_path: Path) -> None:
    result = Codex(tmp_path, front.url, KEY, catalogue=False).run(answer("all the same"))
    assert result.texts == ["all the same"]
    assert [error for error in result.errors if "metadata" in error]


def test_it_makes_two_calls_at_once_and_thinks_over_several_turns(codex: Codex, received: Received) -> None:
    """With a model that refuses a history whose thinking has changed."""
    first = codex.run('Use the exec_command tool and the get_goal tool for "./note.sh"')
    assert (first.code, first.errors) == (0, [])
    (command,) = first.items("command_execution")
    assert (command["exit_code"], command["aggregated_output"]) == (0, "the treasure is under the oak\n")
    assert "the treasure is under the oak" in first.texts[-1]
    assert any("The user says" in item["text"] for item in first.items("reasoning"))
    second = codex.resume(answer("thank you"))
    assert (second.texts, second.errors) == (["thank you"], [])
    one, two, three = received.all()
    assert signatures(one) == []
    assert signatures(two)
    assert signatures(three)[: len(signatures(two))] == signatures(two)
    assert len(signatures(three)) > len(signatures(two))
    assert [block["name"] for block in blocks(three, "assistant", "tool_use")] == ["exec_command", "get_goal"]
    assert len(blocks(three, "user", "tool_result")) == 2


def test_it_carries_the_thinking_itself(
    codex: Codex, serve: Callable[..., Process], upstream: Process, received: Received
) -> None:
    """Another gateway remembers nothing, but can open what the first one sealed. A third one cannot."""
    codex.run('Use the exec_command tool for "./note.sh"')
    sealed = signatures(received.all()[-1])
    for keys, expected in ((SEAL_KEYS[::-1], sealed), (SEAL_KEYS[1:], [])):
        other = serve(upstream.url, server=f'api_keys = ["{KEY}"]\nseal_keys = {json.dumps(keys)}')
        received.forget()
        result = codex.resume(answer("still here"), *at(other))
        assert (result.texts, result.errors) == (["still here"], [])
        (request,) = received.all()
        assert request["status"] == 200
        assert signatures(request)[: len(expected)] == expected
        assert bool(signatures(request)) is bool(expected)


def test_another_key_does_not_open_it(
    codex: Codex, serve: Callable[..., Process], upstream: Process, received: Received
) -> None:
    other = "sk-e2e-codex-of-somebody-else"
    shared = serve(upstream.url, server=f'api_keys = ["{KEY}", "{other}"]\nseal_keys = ["{SEAL_KEYS[0]}"]')
    codex.run('Use the exec_command tool for "./note.sh"', *at(shared))
    received.forget()
    result = codex.run(answer("as if new"), *at(shared), key=other, command=("exec", "resume", "--last"))
    assert result.texts == ["as if new"]
    assert signatures(received.all()[0]) == []


def test_a_tool_of_a_namespace_is_called_by_both_names(codex: Codex, received: Received) -> None:
    result = codex.run('Use the multi_agent_v1__close_agent tool for "the-other-agent"')
    assert (result.code, result.errors) == (0, [])
    first, second = received.all()
    assert "multi_agent_v1__close_agent" in [tool["name"] for tool in first["body"]["tools"]]
    (output,) = blocks(second, "user", "tool_result")
    assert "invalid agent id the-other-agent" in text_of(output)


def test_a_tool_of_an_mcp_server_is_called(codex: Codex, received: Received) -> None:
    server = [
        "-c", f"mcp_servers.orchard.command={json.dumps(sys.executable)}",
        "-c", f"mcp_servers.orchard.args={json.dumps([str(clients.SCRIPTS / 'python' / 'mcp_server.py')])}",
    ]  # fmt: skip
    result = codex.run('Use the mcp__orchard__pick_fruit tool for "plum"', *server)
    assert (result.code, result.errors) == (0, [])
    (call,) = result.items("mcp_tool_call")
    assert (call["server"], call["tool"], call["status"]) == ("orchard", "pick_fruit", "completed")
    (output,) = blocks(received.all()[-1], "user", "tool_result")
    assert "picked a plum" in text_of(output)


def test_a_patch_is_applied_as_free_text(codex: Codex, received: Received) -> None:
    """The prompt is the patch, because the emulated model repeats a prompt as the text of a tool."""
    patch = "*** Begin Patch\n*** Add File: found.txt\n+made by apply_patch — ü 😀\n*** End Patch"
    result = codex.run(patch)
    assert (result.code, result.errors) == (0, [])
    (change,) = result.items("file_change")
    assert change["status"] == "completed"
    assert (codex.folder / "found.txt").read_text() == "made by apply_patch — ü 😀\n"
    first, second = received.all()
    (tool,) = [tool for tool in first["body"]["tools"] if tool["name"] == "apply_patch"]
    assert "begin_patch" in tool["description"], "the grammar"
    (call,) = blocks(second, "assistant", "tool_use")
    assert (call["name"], call["input"]) == ("apply_patch", {"input": patch})
    (output,) = blocks(second, "user", "tool_result")
    assert "Success. Updated the following files" in text_of(output)


def test_it_attaches_an_image_and_looks_at_one(codex: Codex, received: Received) -> None:
    codex.run("Look at this", "--image", "picture.png")
    (image,) = blocks(received.all()[0], "user", "image")
    assert image["source"]["media_type"] == "image/png"
    assert base64.b64decode(image["source"]["data"]) == clients.PICTURE
    received.forget()
    codex.run(f'Use the view_image tool for "{codex.folder / "picture.png"}"')
    (output,) = blocks(received.all()[-1], "user", "tool_result")
    (seen,) = [block for block in output["content"] if block["type"] == "image"]
    assert base64.b64decode(seen["source"]["data"]) == clients.PICTURE


def test_it_searches_the_web_where_both_are_told_to(
    codex: Codex, serve: Callable[..., Process], upstream: Process, received: Received
) -> None:
    searching = serve(upstream.url, server=f'api_keys = ["{KEY}"]', more="[responses]\nweb_search = true\n")
    prompt = 'Search the web for "oak trees"'
    result = codex.run(prompt, "-c", 'web_search="live"', *at(searching))
    assert (result.code, result.errors) == (0, [])
    assert result.items("web_search")
    assert result.texts[-1]
    codex.resume(answer("and so on"), "-c", 'web_search="live"', *at(searching))
    first, *_, last = received.all()
    assert "web_search_20250305" in [tool.get("type") for tool in first["body"]["tools"]]
    assert last["status"] == 200
    received.forget()
    codex.run(prompt, "-c", 'web_search="live"')
    assert "web_search" not in [tool["name"] for tool in received.all()[0]["body"]["tools"]]


def test_its_answer_follows_a_schema(codex: Codex, received: Received) -> None:
    schema = codex.folder / "schema.json"
    schema.write_text(json.dumps({
        "type": "object", "properties": {"city": {"type": "string"}, "sunny": {"type": "boolean"}},
        "required": ["city", "sunny"], "additionalProperties": False,
    }))  # fmt: skip
    result = codex.run("Which city?", "--output-schema", str(schema))
    assert result.errors == []
    assert json.loads(result.texts[-1]).keys() == {"city", "sunny"}
    assert received.all()[0]["body"]["output_config"]["format"]["type"] == "json_schema"


def test_a_reply_that_is_cut_is_incomplete(codex: Codex, received: Received) -> None:
    result = codex.run('[[emulator: answer="the beginning of it" stop_reason=max_tokens]] hello')
    assert result.texts == ["the beginning of it"]
    assert (result.code, result.errors) == (1, ["Incomplete response returned, reason: max_output_tokens"])
    assert len(received.all()) == 1


def test_a_refusal_is_shown_and_not_tried_again(codex: Codex, received: Received) -> None:
    result = codex.run('[[emulator: stop_reason=refusal explanation="That would be harmful."]] hello')
    assert (result.code, result.errors) == (0, [])
    assert "That would be harmful." in result.texts[-1]
    assert len(received.all()) == 1


def test_a_400_is_shown_in_the_words_of_the_upstream(codex: Codex, received: Received) -> None:
    result = codex.run('[[emulator: status=400 message="no such luck"]] hello')
    assert result.code == 1
    assert "no such luck" in result.errors[-1]
    assert len(received.all()) == 1


def test_a_conversation_that_is_too_long_ends_the_turn(codex: Codex, received: Received) -> None:
    message = "prompt is too long: 1000001 tokens > 1000000 maximum"
    result = codex.run(f'[[emulator: status=400 message="{message}"]] hello')
    assert result.code == 1
    assert "ran out of room in the model's context window" in result.errors[-1]
    assert len(received.all()) == 1


def test_a_model_that_the_gateway_does_not_have_is_named(codex: Codex, received: Received) -> None:
    result = codex.run(answer("never"), "--model", "claude-opus-9-9", *RETRIES)
    assert result.code == 1
    assert "claude-opus-9-9" in result.errors[-1]
    assert received.all() == []


@pytest.mark.parametrize("status", [429, 503, 529])
def test_it_waits_for_a_busy_upstream(codex: Codex, received: Received, plain: Process, status: int) -> None:
    """Codex tries a 429 again only if it has ``retry-after``, whether or not the upstream's had it."""
    result = codex.run(f"[[emulator: status={status} times=1]] hello", *at(plain))
    assert (result.texts, result.code) == ([GREETING], 0)
    assert [request["status"] for request in received.all()] == [status, 200]


@pytest.mark.parametrize("status", [503, 529])
def test_a_busy_upstream_is_named_in_the_end(codex: Codex, plain: Process, status: int) -> None:
    result = codex.run(f'[[emulator: status={status} message="all are busy"]] hello', *at(plain), *RETRIES)
    assert result.code == 1
    assert "all are busy" in result.errors[-1]


def test_the_gateway_waits_in_its_place(codex: Codex, received: Received) -> None:
    result = codex.run("[[emulator: status=529 times=2 retry_after=0.05]] hello")
    assert (result.texts, result.errors) == ([GREETING], [])
    assert [request["status"] for request in received.all()] == [529, 529, 200]


@pytest.mark.parametrize("words", ["truncate_after_event=8", "reset_after_event=8", "error_after_event=8"])
def test_a_reply_that_breaks_off_is_asked_for_again(codex: Codex, received: Received, words: str) -> None:
    """Once content has been sent the gateway may not try again: the client has to, because it was told."""
    result = codex.run(f"[[emulator: {words} times=1]] hello")
    assert (result.texts[-1], result.code) == (GREETING, 0)
    (reconnecting,) = result.errors
    assert reconnecting.startswith("Reconnecting... 1/5")
    assert "stream closed before response.completed" not in reconnecting, "it was not told"
    assert len(received.all()) == 2


def test_a_key_of_another_gateway_is_refused(codex: Codex, received: Received) -> None:
    result = codex.run(answer("never"), *RETRIES, key="sk-somebody-elses")
    assert result.code == 1
    assert "The API key in the header 'Authorization' is not valid here." in result.errors[-1]
    assert received.all() == []


def test_a_name_of_openais_that_is_an_alias_gets_its_tools_in_the_input(
    serve: Callable[..., Process], upstream: Process, received: Received, tmp_path: Path
) -> None:
    """Codex treats a name that it knows in its own way, whatever is behind it: here it has the model write programs."""
    alias = '[aliases]\n"gpt-6.2-sol" = "claude-opus-5-5"\n'
    front = serve(upstream.url, server=f'api_keys = ["{KEY}"]', more=alias)
    codex = Codex(tmp_path, front.url, KEY, catalogue=False)
    result = codex.run("/* exec */ 6 * 7;", "--model", "gpt-6.2-sol")
    assert (result.code, result.errors) == (0, [])
    first, second = received.all()
    assert f"/{MODEL}:" in first["path"]
    assert {"exec", "wait", "collaboration__spawn_agent"} <= {tool["name"] for tool in first["body"]["tools"]}
    (call,) = blocks(second, "assistant", "tool_use")
    assert call["input"] == {"input": "/* exec */ 6 * 7;"}
    (output,) = blocks(second, "user", "tool_result")
    assert "Script completed" in text_of(output)
    assert signatures(second)
