"""Two gateways, each with two workers, that share conversations in one PostgreSQL database, one through PgBouncer.

Risk: a conversation breaks where a load balancer sends its next request to another node, or requests hang while the
database stands still.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from support.cli import run_process
from support.emulator_log import Received
from support.postgres import PgBouncer, Server, execute
from support.processes import START_SECONDS, Process

MODEL = "claude-opus-5-5"
SEAL_KEY = bytes(range(64)).hex()
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
#: Seconds: a call waits 2 s for the database, and a machine that is busy makes it look like more.
SOON = 60.0


class Nodes(NamedTuple):
    gateways: tuple[Process, Process]
    server: Server
    url: str
    received: Received

    def client(self, node: int, key: str = "sk-ann-0123456789") -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.gateways[node].url}/v1", api_key=key, max_retries=0, timeout=SOON)

    def until_written(self, rows: int) -> None:
        """Thinking is written in the background."""
        end = time.monotonic() + START_SECONDS
        while execute(self.url, "SELECT count(*) FROM remembered_thinking") != [(rows,)]:
            assert time.monotonic() < end, self.gateways[0].output()
            time.sleep(0.05)


@pytest.fixture
def nodes(
    serve: Callable[..., Process], emulate: Callable[..., Process], own_postgres_server: Server, tmp_path: Path
) -> Iterator[Nodes]:
    bouncer, upstream = PgBouncer(own_postgres_server), emulate()
    url = own_postgres_server.new_database()

    def node(number: int, store: str) -> Process:
        state = tmp_path / str(number)
        state.mkdir()
        server = (
            f'workers = 2\nstate_dir = "{state}"\nseal_keys = ["{SEAL_KEY}"]\n'
            'api_keys = ["sk-ann-0123456789", "sk-bob-0123456789"]'
        )
        stores = f'\n[responses]\nstore = "{store}"\n[thinking]\nstore = "{store}"\n'
        return serve(upstream.url, server=server, more=stores)

    try:
        pooled = own_postgres_server.url(url.rpartition("/")[2], bouncer.port)
        with ThreadPoolExecutor(2) as threads:  # both migrate at once
            gateways = tuple(threads.map(node, (0, 1), (url, pooled)))
        yield Nodes((gateways[0], gateways[1]), own_postgres_server, url, Received(upstream.url))
        for gateway in gateways:
            gateway.signal(signal.SIGTERM)
            assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()
            assert "a%2Fpass" not in gateway.output()
            assert "Traceback" not in gateway.output()
    finally:
        bouncer.remove()


def test_conversations_go_on_at_whichever_node(nodes: Nodes) -> None:
    last = None
    for turn in range(8):
        with nodes.client(turn % 2) as client:
            given: Any = {} if last is None else {"previous_response_id": last}
            response = client.responses.create(
                model=MODEL, input=f"repeat after me: turn {turn}", reasoning={"effort": "low"}, **given
            )
        assert response.output_text == f"turn {turn}"
        assert response.store is True
        last = response.id
    assert last is not None
    answers = [message for message in nodes.received.of(MODEL)[-1]["messages"] if message["role"] == "assistant"]
    assert [[block["type"] for block in answer["content"]] for answer in answers] == [["thinking", "text"]] * 7
    for node in range(2):
        with nodes.client(node, "sk-bob-0123456789") as foreign, pytest.raises(openai.NotFoundError):
            foreign.responses.retrieve(last)
    with nodes.client(0) as client:
        client.responses.delete(last)
    with nodes.client(1) as client, pytest.raises(openai.NotFoundError):
        client.responses.retrieve(last)


def test_a_tool_loop_keeps_its_thinking_at_whichever_node(nodes: Nodes) -> None:
    messages: list[Any] = []
    calls = 0
    for turn, city in enumerate(("Paris", "London", "Rome")):
        messages.append({"role": "user", "content": f"What is the weather in {city}?"})
        for step in range(2):
            with nodes.client((turn + step) % 2) as client:
                answer = client.chat.completions.create(
                    model=MODEL, messages=messages, tools=[TOOL], reasoning_effort="medium"
                )
            message = answer.choices[0].message
            messages.append(
                {name: value for name, value in message.to_dict().items() if name in ("role", "content", "tool_calls")}
            )
            for call in message.tool_calls or ():
                calls += 1
                messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{city}: 20 degrees"})
            nodes.until_written(calls)
        assert "20 degrees" in messages[-1]["content"]
    requests = nodes.received.of(MODEL)
    assert len(requests) == 6, "none was refused and tried again without thinking"
    sent = [block for m in requests[-1]["messages"] if m["role"] == "assistant" for block in m["content"]]
    assert sum(block["type"] == "thinking" for block in sent) >= calls >= 3


def test_a_database_that_stands_still_holds_up_nothing(nodes: Nodes) -> None:
    with nodes.client(0) as client:
        before = client.responses.create(model=MODEL, input="repeat after me: one")
        nodes.server.signal(signal.SIGSTOP)
        try:
            for _ in range(4):
                response = client.responses.create(model=MODEL, input="repeat after me: two")
                assert (response.output_text, response.store) == ("two", False)
            with pytest.raises(openai.InternalServerError, match="Send the whole conversation"):
                client.responses.create(model=MODEL, input="x", previous_response_id=before.id)
            answer = client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "repeat after me: three"}]
            )
            assert answer.choices[0].message.content == "three"
        finally:
            nodes.server.signal(signal.SIGCONT)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                after = client.responses.create(
                    model=MODEL, input="repeat after me: four", previous_response_id=before.id
                )
                break
            except openai.InternalServerError:
                assert time.monotonic() < end
                time.sleep(0.1)
    assert after.output_text == "four"
    assert "no answer in time" in nodes.gateways[0].output()


def test_nodes_without_a_common_key_do_not_start(tmp_path: Path) -> None:
    result = run_process(
        "serve", home=tmp_path, MODELMUX_VERTEX_PROJECT="p", MODELMUX_VERTEX_LOCATION="global",
        MODELMUX_THINKING_STORE="postgresql://u:canary@127.0.0.1:1/d",
    )  # fmt: skip
    assert result.code != 0
    assert "server.seal_keys: none is set, and nodes that share conversations need the same" in result.stderr
    assert "openssl rand -hex 64" in result.stderr
    assert "canary" not in result.stderr
