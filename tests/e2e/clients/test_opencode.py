"""The opencode CLI, an agent that runs tools on files, offline but for the gateway."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import clients
from support.emulator_log import Received
from support.processes import Process

MODEL = "claude-sonnet-4-6"
SMALL = "claude-haiku-4-5"
NEWEST = "claude-opus-5-5"
Events = list[dict[str, Any]]
Opencode = Callable[..., Events]


def settings(url: str) -> dict[str, Any]:
    able = {
        "attachment": True,
        "reasoning": True,
        "tool_call": True,
        "modalities": {"input": ["text", "image"], "output": ["text"]},
        "limit": {"context": 200_000, "output": 32_000},
    }
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Gateway",
        "options": {"baseURL": f"{url}/v1", "apiKey": "sk-anything"},
        "models": {model: {"name": model, **able} for model in (MODEL, SMALL, NEWEST)},
    }
    return {
        "autoupdate": False,
        "share": "disabled",
        "model": f"gateway/{MODEL}",
        "small_model": f"gateway/{SMALL}",
        "permission": {"*": "deny", "read": "allow"},
        "provider": {"gateway": provider},
    }


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture(scope="module")
def front(serve: Callable[..., Process], upstream: Process) -> Process:
    return serve(upstream.url)


@pytest.fixture
def received(upstream: Process) -> Iterator[Received]:
    received = Received(upstream.url)
    received.forget()
    return received


@pytest.fixture
def opencode(front: Process, tmp_path: Path) -> Opencode:
    """Runs it in a folder of its own and gives what it printed, one event a line."""
    clients.needed(clients.OPENCODE)
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "opencode.json").write_text(json.dumps(settings(front.url)))
    (folder / "note.txt").write_text("the treasure is under the oak\n")
    (folder / "picture.png").write_bytes(clients.PICTURE)

    def run(prompt: str, *options: str, code: int = 0) -> Events:
        ended = subprocess.run(
            [clients.OPENCODE, "run", "--format", "json", *options],
            env=clients.environment(tmp_path) | {"OPENCODE_DISABLE_MODELS_FETCH": "1"},
            cwd=folder,
            input=prompt,
            capture_output=True,
            text=True,
            timeout=clients.SECONDS,
            check=False,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    return run


def texts(events: Events) -> list[str]:
    return [event["part"]["text"].strip() for event in events if event["type"] == "text"]


def used(events: Events) -> list[dict[str, Any]]:
    return [event["part"]["tokens"] for event in events if event["type"] == "step_finish"]


def test_it_answers_by_a_stream_with_tools_and_asks_for_a_title_beside_it(
    opencode: Opencode, received: Received
) -> None:
    events = opencode('[[emulator: answer="the gateway works"]] hello')
    assert texts(events) == ["the gateway works"]
    (asked,) = received.of(MODEL)
    assert asked["stream"] is True
    assert "read" in [tool["name"] for tool in asked["tools"]]
    (title,) = received.of(SMALL)
    assert "tools" not in title
    (tokens,) = used(events)
    assert tokens["input"] > 1000
    assert tokens["output"] > 0


def test_it_reads_a_file_by_a_tool_and_the_cache_pays(opencode: Opencode, received: Received) -> None:
    events = opencode('Use the read tool for "note.txt"')
    (call,) = [event["part"] for event in events if event["type"] == "tool_use"]
    assert (call["tool"], call["state"]["status"]) == ("read", "completed")
    assert "the treasure is under the oak" in texts(events)[-1]
    first, second = received.of(MODEL)
    assert second["tools"] == first["tools"]
    assert used(events)[1]["cache"]["read"] > 1000


def test_it_thinks_when_told_to_and_goes_on_after_a_tool(opencode: Opencode, received: Received) -> None:
    """With a model that refuses a history whose thinking has a hole."""
    events = opencode(
        'Use the read tool for "note.txt"', "--model", f"gateway/{NEWEST}", "--variant", "high", "--thinking"
    )
    assert any("The user says" in event["part"]["text"] for event in events if event["type"] == "reasoning")
    assert "the treasure is under the oak" in texts(events)[-1]
    first, second = received.of(NEWEST)
    assert {first["output_config"]["effort"], second["output_config"]["effort"]} == {"high"}
    (answer,) = [message for message in second["messages"] if message["role"] == "assistant"]
    assert answer["content"][0]["type"] == "thinking"


def test_it_attaches_an_image(opencode: Opencode, received: Received) -> None:
    opencode("Look at this", "--file", "picture.png")
    content = received.of(MODEL)[0]["messages"][0]["content"]
    (image,) = [block["source"] for block in content if block["type"] == "image"]
    assert image["media_type"] == "image/png"
    assert base64.b64decode(image["data"]) == clients.PICTURE


def test_it_shows_the_gateways_error(opencode: Opencode) -> None:
    events = opencode('[[emulator: status=400 message="no such luck"]] hello', code=1)
    (error,) = [event["error"] for event in events if event["type"] == "error"]
    assert error["name"] == "APIError"
    assert error["data"]["statusCode"] == 400
    assert "no such luck" in error["data"]["message"]
