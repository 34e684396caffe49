"""SIGTERM on a real gateway in the middle of real SDK streams."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from support.processes import Process
from support.workers import get, until

#: A little more than a second at the emulator's pace here.
SHORT = " ".join(["word"] * 50)
LONG = " ".join(["word"] * 400)


@pytest.fixture(scope="module")
def paced(emulate: Callable[..., Process]) -> Process:
    return emulate("--tokens-per-second", "40")


@pytest.fixture
def sdk() -> Iterator[Callable[..., openai.OpenAI]]:
    clients: list[openai.OpenAI] = []

    def make(gateway: Process, **options: Any) -> openai.OpenAI:
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk", **({"max_retries": 0} | options))
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def stream(client: openai.OpenAI, text: str) -> Iterator[Any]:
    return iter(
        client.chat.completions.create(
            model="claude-sonnet-4-6",
            max_tokens=1000,
            stream=True,
            messages=[{"role": "user", "content": f"say exactly: {text}"}],
        )
    )


def stopping(gateway: Process) -> bool:
    """Whether it has noticed the signal."""
    try:
        return get(f"{gateway.url}/readyz")[0] == 503
    except OSError:
        return True


def test_a_stream_finishes_and_the_process_ends_with_0(
    serve: Callable[..., Process], paced: Process, sdk: Callable[..., openai.OpenAI]
) -> None:
    gateway = serve(paced.url, server='drain_timeout = "20s"')
    chunks = stream(sdk(gateway), SHORT)
    next(chunks)
    gateway.signal(signal.SIGTERM)
    got = list(chunks)
    assert got[-1].choices[0].finish_reason == "stop"
    assert gateway.wait(100) == 0


@pytest.mark.parametrize("second", [False, True])
def test_a_stream_that_takes_longer_raises_in_the_sdk(
    serve: Callable[..., Process], paced: Process, sdk: Callable[..., openai.OpenAI], second: bool
) -> None:
    gateway = serve(paced.url, server=f'drain_timeout = "{60 if second else 1}s"')
    chunks = stream(sdk(gateway), LONG)
    next(chunks)
    unary: list[Exception] = []

    def ask() -> None:
        with pytest.raises(openai.APIError) as caught:
            sdk(gateway).chat.completions.create(
                model="claude-sonnet-4-6",
                max_tokens=1000,
                messages=[{"role": "user", "content": f"say exactly: {LONG}"}],
            )
        unary.append(caught.value)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: b"modelmux_requests_in_flight 2.0" in get(f"{gateway.url}/metrics")[1])
    gateway.signal(signal.SIGINT if second else signal.SIGTERM)
    if second:
        until(lambda: stopping(gateway))
        gateway.signal(signal.SIGTERM)
    with pytest.raises(openai.APIError) as caught:
        list(chunks)
    assert caught.value.code == "gateway_draining"
    asking.join(100)
    assert [type(error) for error in unary] == [openai.InternalServerError]
    assert gateway.wait(100) == 0
    assert gateway.output().count("gateway_draining") == 2  # one line for each request, no more
    assert gateway.output().count("outcome=drained") == 2
    assert "gateway_error" not in gateway.output()
    assert "Traceback" not in gateway.output()
