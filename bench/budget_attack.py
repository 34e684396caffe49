"""``make budget-attack``: thousands of requests at once against one small budget, which they must use and never pass.

A request in five is abandoned at a random moment, and a request in ten has a fault of the upstream. Then the ledger is
compared with what the emulator would bill, and with the budget.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from bench.client import Client
from bench.processes import emulator, gateway

MODEL: Final = "claude-sonnet-4-6"
MAX_TOKENS: Final = 40
#: A prompt of some 300 bytes at two bytes a token, 64 tokens around it, and the output, at USD per million tokens.
WORST: Final = Decimal(3 * 250 + 15 * MAX_TOKENS) / 10**6
ABANDONED: Final = 0.2
FAULTY: Final = 0.1
FAULTS: Final = (
    "status=529 times=1", "status=500 times=2", "reset times=1", "close_after_event=2 times=1", "status=400",
    "reset_after_event=6", "truncate_after_event=6", "error_after_event=8",
)  # fmt: skip
PATHS: Final = ("/v1/chat/completions", "/v1/messages", "/v1/responses")


def body_of(path: str, text: str, *, stream: bool) -> bytes:
    if path.endswith("responses"):
        return json.dumps({"model": MODEL, "max_output_tokens": MAX_TOKENS, "input": text, "stream": stream}).encode()
    message = {"role": "user", "content": text}
    return json.dumps(
        {"model": MODEL, "max_tokens": MAX_TOKENS, "messages": [message], "stream": stream}
    ).encode()  # fmt: skip


async def ask(url: str, key: str, number: int, statuses: Counter[str]) -> str:
    """One request over a connection of its own, so that every worker takes some. How it ended."""
    rng = random.Random(number)
    fault = f" [[emulator: {rng.choice(FAULTS)} key=k{number}]]" if rng.random() < FAULTY else ""
    path = PATHS[number % len(PATHS)]
    body = body_of(path, f"repeat after me: {'word ' * rng.randint(1, 8)}{fault}", stream=rng.random() < 0.5)
    client = Client(url, path, key)
    patience = rng.uniform(0, 0.05) if rng.random() < ABANDONED else 120
    try:
        response = await asyncio.wait_for(client.send(body), patience)
    except TimeoutError:
        outcome = "abandoned"
    else:
        outcome = (response.failure and "broken") or str(response.status)
    client.close()
    statuses[outcome] += 1
    return outcome


async def use_up(url: str, key: str, requests: int, at_once: int) -> Counter[str]:
    """Send them, and then single ones until three in a row are refused."""
    statuses: Counter[str] = Counter()
    places = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with places:
            await ask(url, key, number, statuses)

    await asyncio.gather(*(one(number) for number in range(requests)))
    refused, number = 0, requests
    while refused < 3:
        outcome = await ask(url, key, number, statuses)
        refused = 0 if outcome == "200" else refused + (outcome == "429")
        number += 1
    return statuses


def run(requests: int, at_once: int, workers: int, limit: Decimal) -> list[str]:
    """One attack. Returns what is wrong."""
    with tempfile.TemporaryDirectory() as name, emulator(Path(name), tokens_per_second=0) as (_, upstream):
        folder = Path(name)
        state = folder / "state"
        config = folder / "gateway" / "config.toml"
        more = (
            f'workers = {workers}\nstate_dir = "{state}"\n[limits]\nrequests = {2 * at_once}\nqueue = {2 * at_once}\n'
            '[admin]\nlisten = "off"\n[accounts]\nenabled = true'
        )

        def modelmux(*arguments: str) -> str:
            command = [sys.executable, "-m", "modelmux", *arguments, "--config", str(config)]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

        began = time.monotonic()
        with gateway(folder, upstream, extra_config=more) as (_, url):
            key = modelmux("keys", "create", "--name", "small", "--budget", f"{limit}/month")
            statuses = asyncio.run(use_up(url, key, requests, at_once))
        seconds = time.monotonic() - began
        (window,) = json.loads(modelmux("budget", "show", "small", "--json"))["windows"]
        rows = [json.loads(line) for line in modelmux("usage", "export", "--format", "jsonl").splitlines()]
        differences = json.loads(modelmux("usage", "verify", "--json"))["differences"]
        with urllib.request.urlopen(f"{upstream}/_emulator/bill") as reply:
            bill = json.loads(reply.read())["entries"]
    counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    print(f"{workers} workers, {seconds:.0f} s: {counts}\n  spent {window['spent']} of {limit} USD, {len(rows)} rows")
    return [*problems_of(window, rows, bill, limit), *(f"usage verify: {one}" for one in differences)]


def problems_of(window: dict[str, Any], rows: list[dict[str, Any]], bill: list[Any], limit: Decimal) -> list[str]:
    """What is not as it has to be."""
    spent, of_rows = Decimal(window["spent"]), sum(Decimal(row["cost_usd"]) for row in rows)
    billed = {entry["id"]: Decimal(entry["cost"]) for entry in bill if entry["complete"]}
    named = {row["upstream_id"]: Decimal(row["cost_usd"]) for row in rows if row["outcome"] == "ok"}
    single = {row["upstream_id"] for row in rows if row["outcome"] == "ok" and len(row["attempts"]) == 1}
    wrong = [id for id in single if id in billed and billed[id] != named[id]]
    checks = {
        f"{spent} USD were spent, which is above the limit": spent <= limit,
        f"{limit - spent} USD were left, which is room for another request": limit - spent < WORST,
        f"{window['held']} USD stay held": Decimal(window["held"]) == 0,
        f"the rows add up to {of_rows} USD": of_rows == spent,
        f"{len(wrong)} rows have another cost than the emulator bills": not wrong,
        "no row could be compared": bool(single & billed.keys()),
        "two rows have one id": len({row["id"] for row in rows}) == len(rows),
    }
    return [problem for problem, holds in checks.items() if not holds]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=1_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--limit", type=Decimal, default=Decimal(1), help="USD")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    problems = []
    for workers in options.workers:
        wrong = run(options.requests, options.at_once, workers, options.limit)
        print("".join(f"  WRONG: {problem}\n" for problem in wrong), end="")
        problems += wrong
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
