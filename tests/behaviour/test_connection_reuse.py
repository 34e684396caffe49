"""Risk: connections to Vertex AI are not reused, or are reused after a reply that was not read to its end."""

from __future__ import annotations

import json

import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.emulator import EmulatorSettings, RunningEmulator
from modelmux.upstream.pool import HttpPool
from support.asgi import request
from support.clock import current_runtime
from support.fakes import FakeTokens
from support.gateway import MODEL, PATH, ask
from support.http_peers import Wire, peer, pool_of


@pytest.mark.parametrize(
    ("text", "stream", "reused"),
    [
        ("hello", False, True),
        ("hello", True, True),
        ("[[emulator: chunk=7]] repeat after me: a b c d e f", True, True),
        ("[[emulator: status=400]]", False, True),
        ("[[emulator: status=400]]", True, True),
        ("[[emulator: reset_after_event=9]] repeat after me: a b c d e f g h i j k l m n o p", True, False),
        ("[[emulator: truncate_after_event=9]] repeat after me: a b c d e f g h i j k l m n o p", True, True),
    ],
)
async def test_five_requests_on_one_connection(text: str, stream: bool, reused: bool) -> None:
    pool = HttpPool()
    async with RunningEmulator(EmulatorSettings(tokens_per_second=0)) as emulator:
        settings = {"vertex": {"project": "p", "location": "global", "base_url": emulator.base_url}}
        config = Config.from_dict(settings | {"retries": {"max": 0}})
        app = Gateway(config, upstream=pool, tokens=FakeTokens(), environment={}, runtime=current_runtime())
        for _ in range(5):
            await request(app, "POST", PATH, ask(text, stream=stream))
        created = pool.created_total
        await app.aclose()
    assert created == 1 if reused else created > 1


_REPLY = json.dumps({
    "type": "message", "id": "msg_1", "role": "assistant", "model": MODEL, "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 1, "output_tokens": 1},
})  # fmt: skip


@pytest.mark.parametrize(("retries", "status", "sent"), [(0, 502, 2), (1, 200, 3)])
@pytest.mark.parametrize("with_reset", [False, True])
async def test_with_retries_off_a_call_is_never_sent_twice(
    retries: int, status: int, sent: int, with_reset: bool
) -> None:
    """The first connection dies once it has the second request, which Vertex AI may have accepted."""
    requests: list[bytes] = []

    async def talk(wire: Wire) -> None:
        while True:
            requests.append((await wire.request())[1])
            if len(requests) == 2:
                if with_reset:
                    wire.reset()
                return
            await wire.send(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(_REPLY), _REPLY.encode())
            )

    async with peer(talk) as (origin, _), pool_of() as pool:
        settings = {"vertex": {"project": "p", "location": "global", "base_url": f"http://{origin.authority}"}}
        config = Config.from_dict(settings | {"retries": {"max": retries}})
        app = Gateway(config, upstream=pool, tokens=FakeTokens(), environment={}, runtime=current_runtime())
        assert (await request(app, "POST", PATH, ask("one"))).status == 200
        assert (await request(app, "POST", PATH, ask("two"))).status == status
        await app.aclose()
    assert len(requests) == sent
