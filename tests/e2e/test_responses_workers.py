"""Four workers are one gateway for clients of the Responses API: what one stored or sealed, each other one finds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import openai
import pytest

from support.emulator_log import Received
from support.processes import Process
from support.workers import children, serving, until, workers_of

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

WORKERS = 4
TURNS = 40
MODEL = "claude-opus-5-5"
THINK: dict[str, Any] = {"reasoning": {"effort": "low", "summary": "auto"}, "max_output_tokens": 4000}


class Asked:
    """Sends each request over a connection of its own, and notes which worker had it."""

    def __init__(self, gateway: Process) -> None:
        self._gateway = gateway
        self._workers = children(gateway.pid)
        self.seen: set[int] = set()

    def __call__(self, *, stream: bool = False, **given: Any) -> Any:
        """The complete response. A streamed one is left right after its last event, without reading on."""
        with (
            openai.OpenAI(base_url=f"{self._gateway.url}/v1", api_key="sk-anything", max_retries=0) as client,
            client.responses.with_streaming_response.create(model=MODEL, stream=stream, **THINK, **given) as raw,
        ):
            port = raw.http_response.extensions["network_stream"].get_extra_info("client_addr")[1]
            self.seen.add(workers_of(self._gateway, [port], self._workers)[port])
            if not stream:
                return raw.parse()
            for event in raw.parse():
                if event.type == "response.completed":
                    return event.response
        raise AssertionError("the stream has no end")


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture(scope="module")
def four(serve: Callable[..., Process], upstream: Process) -> Process:
    process = serve(upstream.url, server=f"workers = {WORKERS}")
    until(lambda: serving(process) == WORKERS)
    return process


@pytest.fixture
def received(upstream: Process) -> Received:
    received = Received(upstream.url)
    received.forget()
    return received


@pytest.fixture
def ask(four: Process) -> Asked:
    return Asked(four)


def check_last(received: Received) -> None:
    """The last request holds every turn with its thinking, which the emulator has found unchanged."""
    requests = received.of(MODEL)
    assert len(requests) == TURNS  # none was refused and tried again without thinking
    messages = requests[-1]["messages"]
    asked = [part["text"] for message in messages for part in _blocks(message) if message["role"] == "user"]
    assert asked == [f"repeat after me: turn {turn}" for turn in range(TURNS)]
    answers = [message for message in messages if message["role"] == "assistant"]
    assert [[block["type"] for block in _blocks(answer)] for answer in answers] == [["thinking", "text"]] * (TURNS - 1)


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def test_a_conversation_goes_on_at_whichever_worker(ask: Asked, received: Received) -> None:
    """By the id of the last response, every second one streamed and continued the moment it ends."""
    last = None
    for turn in range(TURNS):
        response = ask(input=f"repeat after me: turn {turn}", previous_response_id=last, stream=turn % 2 == 0)
        assert response.output_text == f"turn {turn}"
        assert response.store is True
        last = response.id
    assert len(ask.seen) > 2
    check_last(received)


def test_item_references_are_found_at_whichever_worker(ask: Asked, received: Received) -> None:
    items: list[Any] = []
    for turn in range(TURNS):
        items.append({"role": "user", "content": f"repeat after me: turn {turn}"})
        response = ask(input=items, stream=turn % 2 == 0)
        items += [{"type": "item_reference", "id": item.id} for item in response.output]
    assert len(ask.seen) > 1
    check_last(received)


def test_sealed_thinking_is_opened_at_whichever_worker(ask: Asked, received: Received) -> None:
    items: list[Any] = []
    for turn in range(TURNS):
        items.append({"role": "user", "content": f"repeat after me: turn {turn}"})
        response = ask(input=items, store=False)
        assert response.store is False
        items += [item.to_dict() for item in response.output]
    assert len(ask.seen) > 1
    check_last(received)
