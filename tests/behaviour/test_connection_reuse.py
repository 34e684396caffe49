"""Risk: connections to Vertex AI are not reused, or are reused after a reply that was not read to its end."""

from __future__ import annotations

import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.emulator import EmulatorSettings, RunningEmulator
from modelmux.upstream.pool import HttpPool
from support.asgi import request
from support.clock import current_runtime
from support.fakes import FakeTokens
from support.gateway import PATH, ask


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
