"""Risk: memory or CPU grows with the age of the process, the length of a stream, or what clients send."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from modelmux.claude.draft import SignedThinking
from modelmux.store.memory import MemoryThinkingStore
from modelmux.wire.anthropic import ThinkingBlock
from support.asgi import Response, request
from support.fakes import FakeUpstream, event, message_reply, stream_reply, text_events
from support.gateway import PATH, ask, gateway
from support.pictures import data_url, image_part
from support.work import TWICE, CountedCalls


def test_g38_the_thinking_store_is_bounded() -> None:
    clock = [0.0]
    store = MemoryThinkingStore(lambda: clock[0], max_entries=100, max_bytes=50_000)
    for number in range(5000):
        block: SignedThinking = ThinkingBlock(thinking="x" * 100, signature=f"s{number}")
        store.put("owner", f"call_{number}", "m", (block,))
        store.mark_rejected("owner", (block,))
    assert len(store) <= 100
    assert store.bytes <= 50_000
    assert len(store._rejected) <= 100


async def test_g38_a_request_leaves_no_objects_behind() -> None:
    import gc

    app = gateway(upstream := FakeUpstream([]))
    sizes = []
    for _ in range(3):
        for number in range(60):
            upstream.script = [message_reply()]
            body = ask(f"turn {number}", user=f"user-{number}", metadata={f"k{number}": "v"})
            assert (await request(app, "POST", PATH, body)).status == 200
        upstream.calls.clear()
        upstream.replies.clear()
        gc.collect()
        sizes.append(len(gc.get_objects()))
    assert sizes[2] - sizes[1] < 200, "something is kept for each request"


async def test_g43_large_media_and_many_pieces_cost_little() -> None:
    app = gateway(upstream := FakeUpstream([]))

    async def media(size: int) -> int:
        photo = b"\x89PNG\r\n\x1a\n" + bytes(size)
        message = {"role": "user", "content": [image_part(data_url(photo))]}
        body = json.dumps(ask() | {"messages": [message]}).encode()
        upstream.script = [message_reply()]
        with CountedCalls() as work:
            response: Response = await request(app, "POST", PATH, body)
        assert response.status in (200, 400)
        return work.calls

    async def words(count: int) -> int:
        upstream.script = [stream_reply(*text_events(*["word "] * count))]
        with CountedCalls() as work:
            response: Response = await request(app, "POST", PATH, ask(stream=True))
        assert response.body.count(b"word ") == count
        return work.calls

    await media(1)
    await media(3_000_000)  # the first one starts the thread of large requests, which costs the same for each of them
    for small, large in [(100_000, 1_400_000), (2_000_000, 3_600_000)]:
        assert await media(large) <= await media(small) + 100, "an image is not processed in pieces"
    assert await media(3_000_000) <= await media(100_000) + 400, "a thread, and nothing for each piece"
    await words(1)
    once, twice = await words(2500), await words(5000)
    assert twice <= TWICE * once + 100
    assert twice < 5000 * 100, "calls for each piece"


async def test_g59_the_cost_of_a_stream_is_linear_in_its_length() -> None:
    work = []
    for count in (2000, 4000):
        thinking = [event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""})]
        thinking += [
            event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "word "})
            for _ in range(count)
        ]
        pieces = [text_events("x")[0], *thinking, event("content_block_stop", index=0)]
        pieces += [event("message_delta", delta={"stop_reason": "end_turn"}, usage={}), event("message_stop")]
        app = gateway(FakeUpstream([stream_reply(*pieces)]))
        with CountedCalls() as counted:
            response = await request(app, "POST", PATH, ask(stream=True))
        work.append(counted.calls)
        assert response.body.endswith(b"data: [DONE]\n\n")
    assert work[1] <= TWICE * work[0] + 100, work


#: Of the standard library and of dependencies: imported before the first request, at start.
MOST_MODULES = 580  # of libraries and of Python itself; 544 when this was written


def test_g60_import_uses_no_network_and_loads_little() -> None:
    code = (
        "import socket, sys\n"
        "def no(*a, **k): raise AssertionError('the network was used')\n"
        "socket.socket.connect = socket.getaddrinfo = no\n"
        "import modelmux\n"
        "app = modelmux.create_app(modelmux.Config.from_dict({'vertex': {'project': 'p', 'location': 'global'}}))\n"
        "print(*sys.modules)\n"
    )
    environment = {**os.environ, "HOME": "/nonexistent"}
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment,
                         timeout=100, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    modules = ran.stdout.split()
    others = [name for name in modules if name.split(".")[0] != "modelmux"]  # ours are many small files on purpose
    assert len(others) < MOST_MODULES
    assert not {"click", "rich", "uvicorn"} & set(modules), "what is not needed is not imported"
