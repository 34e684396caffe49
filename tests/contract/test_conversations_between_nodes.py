"""Two gateways on one PostgreSQL database, or with thinking on a Redis server, are one for a conversation of each
dialect; the emulator enforces the real rules about signatures and prefixes. Risk: thinking is lost where a load
balancer sends the next request elsewhere, or a store is asked on the way of each request, or fails one."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.emulator import EmulatorSettings, RunningEmulator
from modelmux.store.shared_thinking import SharedThinkingStore
from modelmux.telemetry.log import Log
from support.asgi import request
from support.clock import current_runtime
from support.gateway import PATH
from support.log_lines import Lines
from support.redis import Server, redis_server
from support.thinking_rows import FakeThinkingRows

pytestmark = pytest.mark.usefixtures("unhurried_redis")
KEYS = {"alice": "alice-key-0123456789", "mallory": "mallory-key-0123456789"}
MODEL = "claude-opus-5-5"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SEAL_KEY, OTHER_KEY = bytes(range(64)).hex(), bytes(range(64, 128)).hex()
CITIES = ["Paris", "London", "Rome", "Berlin", "Madrid"]


class Nodes(NamedTuple):
    gateways: tuple[Gateway, Gateway]
    emulator: RunningEmulator

    async def ask(
        self, node: int, path: str, body: dict[str, Any], key: str = "alice", *, waits: bool = True, **headers: str
    ) -> Any:
        """:param waits: until thinking is written."""
        response = await request(
            self.gateways[node], "POST", path, body, {"authorization": f"Bearer {KEYS[key]}", **headers}
        )
        assert response.status == 200, response.body
        if waits:
            await self.written()
        return response.json()

    async def written(self) -> None:
        """Thinking is written in the background; a client's tool takes longer than that."""
        for gateway in self.gateways:
            store = gateway._thinking
            assert isinstance(store, SharedThinkingStore)
            await store.written()

    def sent(self) -> list[dict[str, Any]]:
        """The messages of the last request to the upstream."""
        body = json.loads(msgspec.json.encode(self.emulator.app.requests()[-1]["body"]))
        messages: list[dict[str, Any]] = body["messages"]
        return messages

    def thoughts(self) -> int:
        return sum(block["type"] == "thinking" for m in self.sent() for block in m["content"] if m["role"] != "user")


@pytest.fixture(params=["postgres"])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    """:param request: its param is where thinking is remembered."""
    if request.param == "redis":
        stores = {"thinking": {"store": request.getfixturevalue("shared_redis").url}}
    else:
        url = request.getfixturevalue("postgres_url")
        stores = {"thinking": {"store": url}, "responses": {"store": url}}
    async with running(stores) as both:
        for gateway in both.gateways:  # how busy the machine is does not matter here
            if request.param == "redis":
                unhurry(gateway)
                continue
            rows: Any = gateway._thinking._rows  # type: ignore[attr-defined]
            for thread in (rows._reader, gateway.responses.store._reader, gateway.responses.store._writer):  # type: ignore[attr-defined]
                thread._bound = thread._thread._timeout = 60.0
        yield both


def unhurry(gateway: Gateway) -> None:
    """Its calls of a Redis server have a minute."""
    rows: Any = gateway._thinking._rows  # type: ignore[attr-defined]
    rows._reader._bound = rows._writer._bound = 60.0


@contextlib.asynccontextmanager
async def running(
    tables: dict[str, Any], seal_keys: tuple[str, str] = (SEAL_KEY, SEAL_KEY), log: Log | None = None
) -> AsyncIterator[Nodes]:
    """:param log: of the second one."""
    async with RunningEmulator(EmulatorSettings(tokens_per_second=0)) as emulator:
        gateways = []
        for seal_key, own_log in zip(seal_keys, (None, log), strict=True):
            config = Config.from_dict({
                "vertex": {"project": "p", "location": "global", "base_url": emulator.base_url},
                "auth": {"access_token": "t"},
                "server": {"api_keys": list(KEYS.values()), "seal_keys": [seal_key]},
                **tables,
            })  # fmt: skip
            gateways.append(Gateway(config, log=own_log, environment={}, runtime=current_runtime()))
        yield Nodes((gateways[0], gateways[1]), emulator)
        for gateway in gateways:
            await gateway.aclose()


@pytest.mark.parametrize("nodes", ["postgres", "redis"], indirect=True)
async def test_a_tool_loop_of_chat_completions_keeps_its_thinking_at_whichever_node(nodes: Nodes) -> None:
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
    messages: list[Any] = [{"role": "system", "content": "You are a meteorologist."}]
    body = {"model": MODEL, "messages": messages, "tools": [tool], "reasoning_effort": "medium"}
    for number, city in enumerate(CITIES):
        messages.append({"role": "user", "content": f"What is the weather in {city}?"})
        for step in range(2):
            answer = (await nodes.ask((number + step) % 2, PATH, body))["choices"][0]["message"]
            messages.append({name: answer[name] for name in ("role", "content", "tool_calls") if name in answer})
            messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": f"{city}: 20 degrees"}
                for call in answer.get("tool_calls", ())
            ]
        assert "20 degrees" in messages[-1]["content"]
    calls = sum(len(message.get("tool_calls", ())) for message in messages)
    assert calls >= len(CITIES)
    assert nodes.thoughts() >= len(CITIES), "what led to each call went back, whichever node had it"
    assert [r["status"] for r in nodes.emulator.app.requests() if r["status"] != 200] == []
    count = nodes.thoughts()
    messages.append({"role": "user", "content": "repeat after me: done"})
    await nodes.ask(0, PATH, body, "mallory")
    assert nodes.thoughts() == 0, "another caller's history is not completed with it"
    await nodes.ask(1, PATH, body)
    assert nodes.thoughts() == count


async def test_a_conversation_of_responses_goes_on_at_whichever_node(nodes: Nodes) -> None:
    last, seen = None, list[str]()
    for turn in range(6):
        body = {"model": MODEL, "input": f"repeat after me: turn {turn}", "reasoning": {"effort": "low"}}
        response = await nodes.ask(turn % 2, "/v1/responses", body | ({"previous_response_id": last} if last else {}))
        assert response["store"] is True
        last = response["id"]
        seen.append(last)
    asked = [m["content"] for m in nodes.sent() if m["role"] == "user"]
    texts = [content if isinstance(content, str) else content[0]["text"] for content in asked]
    assert texts == [f"repeat after me: turn {number}" for number in range(6)]
    assert nodes.thoughts() == 5
    for path in (f"/v1/responses/{last}", f"/v1/responses/{seen[0]}"):
        for node in range(2):
            mine, foreign = [
                await request(nodes.gateways[node], "GET", path, headers={"authorization": f"Bearer {key}"})
                for key in KEYS.values()
            ]
            assert (mine.status, foreign.status) == (200, 404)
    foreign = await request(
        nodes.gateways[0], "POST", "/v1/responses", {"model": MODEL, "input": "x", "previous_response_id": last},
        {"authorization": f"Bearer {KEYS['mallory']}"},
    )  # fmt: skip
    assert (foreign.status, "previous_response" in str(foreign.body)) == (400, True)
    headers = {"authorization": f"Bearer {KEYS['alice']}"}
    assert (await request(nodes.gateways[0], "DELETE", f"/v1/responses/{last}", headers=headers)).status == 200
    assert (await request(nodes.gateways[1], "GET", f"/v1/responses/{last}", headers=headers)).status == 404


async def test_a_conversation_of_messages_carries_its_thinking_itself(nodes: Nodes) -> None:
    tool = {"name": "get_weather", "input_schema": PARAMETERS}
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    body = {"model": MODEL, "max_tokens": 4000, "messages": messages, "tools": [tool], "thinking": {"type": "adaptive"}}
    first = await nodes.ask(0, "/v1/messages", body)
    uses = [block["id"] for block in first["content"] if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": id, "content": "20 degrees"} for id in uses]
    messages += [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}]
    final = await nodes.ask(1, "/v1/messages", body)
    assert "20 degrees" in final["content"][-1]["text"]
    assert nodes.thoughts() >= 1
    assert [r["status"] for r in nodes.emulator.app.requests()] == [200, 200]


@pytest.mark.parametrize("model", [MODEL, "claude-sonnet-4-6"])  # the second one thinks only when it is asked to
async def test_on_one_node_no_store_is_asked(nodes: Nodes, model: str) -> None:
    rows = FakeThinkingRows()
    store = nodes.gateways[0]._thinking
    assert isinstance(store, SharedThinkingStore)
    await store._rows.aclose()
    store._rows = rows
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    for fields in ({"reasoning_effort": "low"}, {"reasoning_effort": "none"}, {}):
        body = {"model": model, "messages": list(messages), "tools": [tool], **fields}
        for _ in range(2):
            answer = (await nodes.ask(0, PATH, body))["choices"][0]["message"]
            calls = answer.get("tool_calls", ())
            results = [{"role": "tool", "tool_call_id": call["id"], "content": "20 degrees"} for call in calls]
            body["messages"] += [answer, *results]  # type: ignore[operator]
    assert rows.batches, "what the replies had is written"
    assert rows.finds == []


class Conversation:
    """One of Chat Completions, each turn of which needs a call of a tool."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._messages: list[Any] = []
        self._cities = itertools.cycle(CITIES)

    async def turn(self, node: int, *, waits: bool = True) -> int:
        """:returns: blocks of thinking that went to the upstream with its end, of which the last two are its own.

        :param waits: see ``Nodes.ask``.
        """
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
        body = {"model": MODEL, "messages": self._messages, "tools": [tool], "reasoning_effort": "medium"}
        self._messages.append({"role": "user", "content": f"What is the weather in {next(self._cities)}?"})
        for _ in range(2):
            answer = (await self._nodes.ask(node, PATH, body, waits=waits))["choices"][0]["message"]
            calls = answer.get("tool_calls", ())
            self._messages.append({name: answer[name] for name in ("role", "content", "tool_calls") if name in answer})
            self._messages += [{"role": "tool", "tool_call_id": call["id"], "content": "20 degrees"} for call in calls]
        return self._nodes.thoughts()


def told(log: Lines) -> list[str]:
    return [fields["message"] for event, fields in log.lines if event == "thinking"]


async def test_nodes_with_different_seal_keys_answer_without_thinking_and_say_so(shared_redis: Server) -> None:
    log = Lines()
    async with running({"thinking": {"store": shared_redis.url}}, (SEAL_KEY, OTHER_KEY), log) as nodes:
        for gateway in nodes.gateways:
            unhurry(gateway)
        talk = Conversation(nodes)
        assert [await talk.turn(0), await talk.turn(0)] == [2, 4]
        assert await talk.turn(1) == 2, "what the first one sealed does not open"
        (line,) = told(log)
        assert "cannot be opened with server.seal_keys of this node; give all nodes the same" in line


async def test_while_the_server_of_thinking_is_gone_each_node_remembers_for_itself() -> None:
    log = Lines()
    with redis_server() as server:
        async with running({"thinking": {"store": server.url}}, log=log) as nodes:
            for gateway in nodes.gateways:
                unhurry(gateway)
            talk = Conversation(nodes)
            assert [await talk.turn(0), await talk.turn(1)] == [2, 4]
            server.kill()
            for node in (0, 1, 0, 1):
                assert await talk.turn(node, waits=False) >= 2
            (line,) = told(log)
            assert "it cannot be reached; check host, port, TLS and firewall" in line
            server.start()
            await nodes.written()  # what waited, too
            assert await talk.turn(0) >= 4
            assert told(log)[1:] == ["thinking is remembered by all nodes together again"]
            assert {request["status"] for request in nodes.emulator.app.requests()} == {200}
