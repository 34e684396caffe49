"""The emulator and the gateway as real processes, once for all end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

from support.processes import Process, free_port

Serve = Callable[..., Process]

CONFIG = """
[server]
port = {port}
{server}

[vertex]
project = "e2e-project"
location = "global"
base_url = "{upstream}"

[auth]
{auth}
"""


@pytest.fixture(scope="session")
def emulate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Process]]:
    """Starts emulators: ``emulate("--require-token")``."""
    started: list[Process] = []

    def start(*arguments: str) -> Process:
        port = free_port()
        log = tmp_path_factory.mktemp("emulator") / "log"
        process = Process(log, "emulate", "--port", str(port), "--tokens-per-second", "0", *arguments, port=port)
        started.append(process)
        process.wait_ready("/healthz")
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts gateways: ``serve(upstream_url, server='api_keys = ["sk-1"]', auth='access_token = "t"')``."""
    started: list[Process] = []

    def start(
        upstream: str, *, server: str = "", auth: str = 'access_token = "e2e-token"', more: str = "", **variables: str
    ) -> Process:
        port = free_port()
        folder = tmp_path_factory.mktemp("gateway")
        config: Path = folder / "config.toml"
        config.write_text(CONFIG.format(port=port, server=server, upstream=upstream, auth=auth) + more)
        process = Process(folder / "log", "serve", "--config", str(config), port=port, **variables)
        started.append(process)
        process.wait_ready()
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def emulator(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture(scope="session")
def gateway(serve: Serve, emulator: Process) -> Process:
    return serve(emulator.url)


@pytest.fixture
def client(gateway: Process) -> Iterator[openai.OpenAI]:
    """The real SDK, as it comes, except that it does not hide errors behind retries of its own."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-anything", max_retries=0) as client:
        yield client
