"""``make hops``: what it costs in tokens of the prompt cache that requests of a conversation reach different nodes.

Agents with tools and reasoning talk to three gateways over Chat Completions, so they cannot send thinking back. The
emulator has the rules of prompt caching: what is not the same to the last byte is not read from the cache. No time is
measured, and no database is needed: which one has the rows does not matter here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from modelmux import Config
from modelmux.app import Gateway
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.emulator import EmulatorSettings, RunningEmulator
from modelmux.runtime import Runtime
from modelmux.store.base import ThinkingStore
from modelmux.store.memory import MemoryThinkingStore
from modelmux.store.shared_thinking import SharedThinkingStore

MODEL: Final = "claude-opus-5-5"
NODES: Final = 3
PATH: Final = "/v1/chat/completions"
#: Longer than the shortest prompt that is cached.
SYSTEM: Final = "You are a meteorologist. " + "Answer with what a tool has told you, and with nothing else. " * 300
#: What the tool tells.
REPORT: Final = "20 degrees, and clouds from the west. " * 60
TOOL: Final[dict[str, Any]] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
LOCATIONS: Final[dict[str, dict[str, Any]]] = {
    "one location": {"location": "global"},
    "two locations": {"models": [{"name": MODEL, "locations": ["us", "global"]}]},
}
SCENARIOS: Final = ("one node", "a node at random", "a node at random, thinking shared")


class Rows:
    """Rows of all nodes, in memory."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.looks = 0

    async def add(self, rows: Sequence[tuple[bytes, bytes, float]]) -> None:
        self.rows |= {key: sealed for key, sealed, _ in rows}

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self.looks += 1
        return {key: self.rows[key] for key in keys if key in self.rows}

    def check(self) -> None:
        """It can be used."""

    async def aclose(self) -> None:
        """Nothing is open."""


class Outcome(NamedTuple):
    """:param looks: for what other nodes remember. :param thoughts: blocks that were sent back at the end."""

    requests: int
    tokens: int
    cached: int
    looks: int
    thoughts: int


class Node(Gateway):
    """A gateway that remembers thinking in a given store."""

    def remember_in(self, store: ThinkingStore, config: Config) -> None:
        self._thinking = store
        self._adopt(self._build(config, self._current))


async def ask(node: Gateway, body: dict[str, Any]) -> dict[str, Any]:
    """One request, without a socket."""
    parts: list[bytes] = []
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Any) -> None:
        parts.append(message.get("body", b""))

    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080),
    }  # fmt: skip
    await node(scope, receive, send)
    reply: dict[str, Any] = json.loads(b"".join(parts))
    return reply


async def run(scenario: str, vertex: dict[str, Any], conversations: int, turns: int, seed: int) -> Outcome:
    """All conversations of a scenario, one after another."""
    rng, rows = random.Random(seed), Rows()
    requests = tokens = cached = thoughts = 0
    async with RunningEmulator(EmulatorSettings(tokens_per_second=0)) as emulator:
        tables = {"vertex": {"project": "p", "base_url": emulator.base_url, **vertex}, "auth": {"access_token": "t"}}
        config, runtime = Config.from_dict(tables), Runtime()
        nodes = [Node(config, environment={}) for _ in range(1 if scenario == "one node" else NODES)]
        stores = []
        if "shared" in scenario:
            for node in nodes:
                memory, sealer = MemoryThinkingStore(runtime.clock), AesSivSealer([b"k" * 64])
                stores.append(SharedThinkingStore(memory, rows, sealer, runtime.clock, runtime.now, runtime.sleep))
                node.remember_in(stores[-1], config)
        for number in range(conversations):
            messages: list[Any] = [{"role": "system", "content": f"Conversation {seed}.{number}. {SYSTEM}"}]
            for turn in range(turns):
                messages.append({"role": "user", "content": f"What is the weather in city {turn}?"})
                for _ in range(2):
                    body = {"model": MODEL, "messages": messages, "tools": [TOOL], "reasoning_effort": "medium"}
                    reply = await ask(rng.choice(nodes), body)
                    if "error" in reply:
                        raise SystemExit(f"error: {reply['error']['message']}")
                    message, usage = reply["choices"][0]["message"], reply["usage"]
                    requests, tokens = requests + 1, tokens + usage["prompt_tokens"]
                    cached += usage["prompt_tokens_details"]["cached_tokens"]
                    messages.append({k: v for k, v in message.items() if k in ("role", "content", "tool_calls")})
                    messages += [
                        {"role": "tool", "tool_call_id": call["id"], "content": REPORT}
                        for call in message.get("tool_calls") or ()
                    ]
                    for store in stores:
                        await store.written()  # a tool takes longer than that
            last = msgspec.json.encode(emulator.app.requests()[-1]["body"])
            thoughts += last.count(b'"signature"')
        for node in nodes:
            await node.aclose()
    return Outcome(requests, tokens, cached, rows.looks, thoughts)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=5)
    parser.add_argument("--turns", type=int, default=10, help="each with one tool call, so two requests")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("| locations | requests go to | tokens | from the cache | others | look-ups | thinking sent back |")
    print("|---|---|---|---|---|---|---|")
    for name, vertex in LOCATIONS.items():
        for scenario in SCENARIOS:
            one = await run(scenario, vertex, options.conversations, options.turns, options.seed)
            print(
                f"| {name} | {scenario} | {one.tokens:,} | {one.cached / one.tokens:.1%} | "
                f"{(one.tokens - one.cached) / one.requests:,.0f} / request | "
                f"{one.looks / one.requests:.2f} / request | {one.thoughts / options.conversations:.1f} blocks |",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main())
