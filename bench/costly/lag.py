"""``python -m bench lag``: how long large requests hold the event loop, at most.

The time by the clock means something on an idle machine only. The CPU time of the process in the same interval hardly
depends on other load: who holds the event loop uses the CPU.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench.costly.forms import MODEL, PATHS
from bench.costly.search import answer, gateway
from modelmux.process.memory import tune_gc

#: The promise of docs/reliability.md, in seconds.
MOST: Final = 0.1
_SIZE: Final = 29_000_000
_MESSAGES: Final = b'{"model":"%b","max_tokens":9,"messages":[' % MODEL.encode()
_INPUT: Final = b'{"model":"%b","store":false,"input":[' % MODEL.encode()
_TURN: Final = b'{"role":"user","content":"x"}'
_MANY: Final = 249_000


def _list(begin: bytes, item: bytes, count: int, end: bytes = b"]}") -> bytes:
    return begin + b",".join([item] * count) + end


def _parts(kind: bytes) -> bytes:
    return _list(b'{"role":"user","content":[', b'{"type":"%b","text":"x"}' % kind, 25, b"]")


def _requests() -> dict[str, tuple[str, bytes]]:
    """Name -> path and body; hundreds of megabytes."""
    return {
        "tiny objects": ("chat", _list(_MESSAGES, b"{}", _SIZE // 3)),
        "turns": ("chat", _list(_MESSAGES, _TURN, _MANY)),
        "turns of another dialect": ("chat", _list(_MESSAGES, b'{"role":"human","content":"x"}', _MANY // 2)),
        "parts of one turn": ("chat", _list(_MESSAGES + b'{"role":"user","content":[', b'{"type":"text","text":"x"}',
                                            _MANY, b"]}]}")),
        "one text": ("chat", _MESSAGES + b'{"role":"user","content":"' + b"x" * _SIZE + b'"}]}'),
        "native tiny objects": ("messages", _list(_MESSAGES, b"{}", _SIZE // 3)),
        "native turns": ("messages", _list(_MESSAGES, _TURN, _MANY)),
        "native long turns": ("messages", _list(_MESSAGES, _TURN[:-2] + b"x" * 90 + _TURN[-2:], _MANY)),
        "native text": ("messages", _MESSAGES + b'{"role":"user","content":"' + b"x" * _SIZE + b'"}]}'),
        "native numbers": ("messages", _list(_MESSAGES, b"1", 990_000)),
        "raw turns": ("vertex", _list(_MESSAGES, _TURN, _MANY)),
        "counted turns": ("count_tokens", _list(_MESSAGES, _TURN, _MANY)),
        "items": ("responses", _list(_INPUT, _parts(b"input_text") + b"}", 9_000)),
        "many items": ("responses", _list(_INPUT, _TURN, _MANY)),
        "escapes": ("chat", _MESSAGES + b'{"role":"user","content":"' + rb"\n" * (_SIZE // 2) + b'"}]}'),
        "native escapes": ("messages", _MESSAGES + b'{"role":"user","content":"' + rb"\n" * (_SIZE // 2) + b'"}]}'),
        "tool schema": ("chat", _MESSAGES + _TURN + b'],"tools":[{"type":"function","function":{"name":"f",'
                        b'"parameters":{"type":"object","properties":{"a":{"enum":'
                        + _list(b"[", b'"x"', 900_000, b"]") + b"}}}}}]}"),
        "members": ("chat", _MESSAGES + _TURN + b'],"metadata":{'
                    + b",".join(b'"k%d":0' % i for i in range(950_000)) + b"}}"),
        "native members": ("messages", _MESSAGES + _TURN + b'],"metadata":{'
                           + b",".join(b'"k%d":0' % i for i in range(99_000)) + b"}}"),
        "half characters": ("chat", _MESSAGES + b'{"role":"user","content":"' + rb"\ud83d" * (_SIZE // 6) + b'"}]}'),
        "native half characters": ("messages", _MESSAGES + b'{"role":"user","content":"' + rb"\ud83d" * (_SIZE // 6)
                                   + b'"}]}'),
        "native long key": ("messages", _MESSAGES + _TURN + b'],"' + b"k" * _SIZE + b'":0}'),
        "item of one text": ("responses", _INPUT + b'{"role":"user","content":"' + b"x" * _SIZE + b'"}]}'),
    }  # fmt: skip


async def _measure() -> float:
    app, lags, cpu = gateway(), list[float](), list[float]()

    async def tick() -> None:
        while True:
            begin, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - begin)
            cpu.append(time.process_time() - used)

    ticker, worst = asyncio.create_task(tick()), 0.0
    await answer(app, PATHS["chat"], _MESSAGES + _TURN + b"]}")
    tune_gc()  # as in a process that serves
    for name, (dialect, body) in _requests().items():
        lags.clear()
        cpu.clear()
        status, _ = await answer(app, PATHS[dialect], body)
        await asyncio.sleep(0.05)
        worst = max(worst, *lags)
        times = f"{max(lags) * 1000:7.1f} ms {max(cpu) * 1000:7.1f} ms CPU"
        print(f"{times} {len(body) / 1e6:5.1f} MB {status} {dialect}: {name}")
    ticker.cancel()
    await app.aclose()
    return worst


def main() -> int:
    """Print the lag of the event loop for each request.

    :returns: the exit status: 1 if it is more than is promised.
    """
    return int(asyncio.run(_measure()) > MOST)
