"""Clients of all kinds at once against a key with a small budget, through one worker and through four.

Risk: workers that decide alone pass the limit together; what one leased is kept from the others, so that requests are
refused although there is room; what is shown, what is refused for and what the upstream billed are three numbers.
"""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.request
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.cli import run_process
from support.processes import Process

MODEL = "claude-sonnet-4-6"
LIMIT = Decimal("0.02")
#: A prompt of some 100 bytes, at two bytes a token and the price of the cache's writes, and 40 tokens of output.
WORST = Decimal("0.0015")
CLIENTS = 40


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    text = f'[vertex]\nproject = "p"\nlocation = "global"\n[server]\nstate_dir = "{tmp_path}"\n'
    (tmp_path / "config.toml").write_text(f"{text}[accounts]\nenabled = true\n")
    return tmp_path


def modelmux(home: Path, *arguments: str) -> str:
    result = run_process(*arguments, "--config", str(home / "config.toml"), home=home)
    assert result.code == 0, result.stderr
    return result.stdout.strip()


async def ask(client: httpx2.AsyncClient, number: int) -> int:
    """One request in one of four ways; every fifth client leaves in the middle of its stream. Its status."""
    text = f"repeat after me: {'word ' * (number % 5 + 1)}"
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    match number % 4:
        case 0:
            return (await client.post("/v1/messages", json=body | {"max_tokens": 40})).status_code
        case 1:
            body = {"model": MODEL, "input": text, "max_output_tokens": 40}
            return (await client.post("/v1/responses", json=body)).status_code
        case 2:
            return (await client.post("/v1/chat/completions", json=body | {"max_completion_tokens": 40})).status_code
    body |= {"max_completion_tokens": 40, "stream": True}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for _ in response.aiter_bytes():
            if number % 5 == 0:
                break
    return response.status_code


async def use_up(url: str, secret: str) -> Counter[int]:
    """Ask until nothing fits any more."""
    statuses: Counter[int] = Counter()

    async def one(client_number: int) -> None:
        number, headers = client_number, {"authorization": f"Bearer {secret}"}
        refused = 0
        while refused < 3:  # what runs meanwhile may be what the room is held for
            # A connection of its own, so that each worker takes some.
            async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=100) as client:
                status = await ask(client, number)
            statuses[status] += 1
            refused = refused + 1 if status == 429 else 0
            number += CLIENTS + 1

    await asyncio.gather(*(one(number) for number in range(CLIENTS)))
    await one(0)
    return statuses


@pytest.mark.parametrize("workers", [1, 4])
def test_a1_a13_the_limit_is_used_and_not_passed(
    serve: Callable[..., Process], upstream: Process, home: Path, workers: int
) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{upstream.url}/_emulator/reset", method="POST")).close()
    secret = modelmux(home, "keys", "create", "--name", "small", "--budget", f"{LIMIT}/month")
    server = f'workers = {workers}\nstate_dir = "{home}"'
    gateway = serve(upstream.url, server=server, more="\n[accounts]\nenabled = true\n")
    statuses = asyncio.run(use_up(gateway.url, secret))
    assert set(statuses) == {200, 429}
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()

    (window,) = json.loads(modelmux(home, "budget", "show", "small", "--json"))["windows"]
    assert Decimal(window["held"]) == 0, "nothing stays leased"
    spent = Decimal(window["spent"])
    assert LIMIT - WORST < spent <= LIMIT
    exported = [json.loads(line) for line in modelmux(home, "usage", "export", "--format", "jsonl").splitlines()]
    assert sum(Decimal(row["cost_usd"]) for row in exported) == spent
    assert json.loads(modelmux(home, "usage", "verify", "--json"))["differences"] == []
    with urllib.request.urlopen(f"{upstream.url}/_emulator/bill") as reply:
        bill = json.loads(reply.read())
    billed = {entry["id"]: Decimal(entry["cost"]) for entry in bill["entries"] if entry["complete"]}
    rows = {row["upstream_id"]: Decimal(row["cost_usd"]) for row in exported if row["outcome"] == "ok"}
    assert {id: cost for id, cost in billed.items() if id in rows} == rows
