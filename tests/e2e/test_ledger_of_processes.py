"""Workers of one gateway share a ledger: after any mix of requests it has one row for each, and the same tokens as the
clients were told.

Risk: two workers that write at once lose rows; a stop loses the last ones; the command reads another file.
"""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import anthropic
import openai
import pytest

from support.cli import run_process
from support.processes import Process

MODEL = "claude-sonnet-4-6"
KEYS = ["sk-modelmux-one-1234", "sk-modelmux-two-5678"]
REQUESTS = 60


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture(params=[1, 4], ids=["one worker", "four workers"])
def metered(
    request: pytest.FixtureRequest, serve: Callable[..., Process], upstream: Process, tmp_path: Path
) -> Process:
    server = f'workers = {request.param}\napi_keys = {json.dumps(KEYS)}\nstate_dir = "{tmp_path}"'
    return serve(upstream.url, server=server, more='\n[accounts]\nenabled = true\ntags = ["app"]\n')


def ask(gateway: Process, number: int) -> tuple[int, int]:
    """One request in one of five ways, each over a connection of its own: its tokens as the client was told."""
    text = f"repeat after me: {'word ' * (number % 7 + 1)}"
    key = KEYS[number % 2]
    if number % 5 == 0:
        with anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0) as claude:
            message = claude.messages.create(model=MODEL, max_tokens=50, messages=[{"role": "user", "content": text}])
            return message.usage.input_tokens, message.usage.output_tokens
    with openai.OpenAI(
        base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, default_headers={"x-modelmux-tags": "app=test"}
    ) as client:
        if number % 5 == 1:
            response = client.responses.create(model=MODEL, max_output_tokens=50, input=text)
            assert response.usage is not None
            return response.usage.input_tokens, response.usage.output_tokens
        if number % 5 == 2:
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(model=MODEL, messages=[], max_tokens=50)
            return 0, 0
        if number % 5 == 3:
            stream = client.chat.completions.create(
                model=MODEL, max_tokens=50, stream=True, stream_options={"include_usage": True},
                messages=[{"role": "user", "content": text}],
            )  # fmt: skip
            usage = [chunk.usage for chunk in stream if chunk.usage is not None][-1]
            return usage.prompt_tokens, usage.completion_tokens
        answer = client.chat.completions.create(
            model=MODEL, max_tokens=50, messages=[{"role": "user", "content": text}]
        )
        assert answer.usage is not None
        return answer.usage.prompt_tokens, answer.usage.completion_tokens


def test_a14_the_ledger_has_what_the_clients_were_told(metered: Process, upstream: Process, tmp_path: Path) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{upstream.url}/_emulator/reset", method="POST")).close()
    with ThreadPoolExecutor(10) as threads:
        told = list(threads.map(lambda number: ask(metered, number), range(REQUESTS)))
    metered.signal(signal.SIGTERM)
    assert metered.wait(100) in (0, -signal.SIGTERM), metered.output()
    variables = {"MODELMUX_SERVER_STATE_DIR": str(tmp_path), "MODELMUX_ACCOUNTS_TAGS": "app"}

    def run(*arguments: str) -> str:
        result = run_process("usage", *arguments, home=tmp_path, **variables)
        assert result.code == 0, result.stderr
        return result.stdout

    report = json.loads(run("--by", "key,tag:app", "--json"))
    total = report["total"]
    prompt = sum(total["tokens"][name] for name in ("input", "cache_write", "cache_write_1h", "cache_read"))
    assert (total["requests"], total["errors"]) == (REQUESTS, REQUESTS // 5)
    assert (prompt, total["tokens"]["output"]) == tuple(map(sum, zip(*told, strict=True)))
    assert total["tokens"]["input"] == prompt, "no prompt is long enough for the cache"
    assert Decimal(total["cost"]["amount"]) == (3 * prompt + 15 * total["tokens"]["output"]) / Decimal(10**6)
    groups = {(row["key"], row["tag:app"]): row["requests"] for row in report["rows"]}
    claude, others = REQUESTS // 10, 4 * REQUESTS // 10
    assert groups == {
        (key, tag): count for key in ("static_1", "static_2") for tag, count in ((None, claude), ("test", others))
    }
    assert str(tmp_path / "accounts.db") in metered.output()
    run("verify")
    exported = [json.loads(line) for line in run("export", "--format", "jsonl").splitlines()]
    assert len({row["id"] for row in exported}) == REQUESTS
    with urllib.request.urlopen(f"{upstream.url}/_emulator/bill") as reply:
        bill = json.loads(reply.read())
    billed = {entry["id"]: Decimal(entry["cost"]) for entry in bill["entries"] if entry["complete"]}
    assert len(billed) == 4 * REQUESTS // 5
    assert {row["upstream_id"]: Decimal(row["cost_usd"]) for row in exported if row["outcome"] == "ok"} == billed
