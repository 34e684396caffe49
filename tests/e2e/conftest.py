"""The emulator and the gateway as real processes, once for all end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from support.dashboard_gateway import DESKTOP, DashboardGateway, Visitor, chromium
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
        upstream: str,
        *,
        server: str = "",
        auth: str = 'access_token = "e2e-token"',
        more: str = "",
        module: tuple[str, ...] = ("modelmux",),
        **variables: str,
    ) -> Process:
        port = free_port()
        folder = tmp_path_factory.mktemp("gateway")
        config: Path = folder / "config.toml"
        config.write_text(CONFIG.format(port=port, server=server, upstream=upstream, auth=auth) + more)
        process = Process(folder / "log", "serve", "--config", str(config), port=port, module=module, **variables)
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; the tests of a module are skipped without one."""
    with chromium() as one:
        yield one


@pytest.fixture
def open_window(browser: Any, gateway: DashboardGateway) -> Iterator[Callable[..., Visitor]]:
    """Opens windows, and sees that nothing went wrong in them. ``gateway`` is that of the module."""
    visitors: list[Visitor] = []

    def start(**options: Any) -> Visitor:
        visitors.append(Visitor(browser, gateway.url, **({"viewport": DESKTOP} | options)))
        return visitors[-1]

    yield start
    for one in visitors:
        one.close()
    assert [problem for one in visitors for problem in one.problems] == []


@pytest.fixture
def visit(open_window: Callable[..., Visitor], gateway: DashboardGateway) -> Callable[..., Visitor]:
    """Opens windows that are signed in by a link."""

    def start(**options: Any) -> Visitor:
        visitor = open_window(**options)
        visitor.sign_in(gateway.modelmux("dashboard"))
        return visitor

    return start
