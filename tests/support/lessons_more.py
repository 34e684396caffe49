"""More for the lessons: what a client sees of a stream besides its message, and sites that pictures are fetched from.

No assertion about a single case comes in here.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.fetch_servers import Answer, Site, site
from support.lessons import PNG, Json, Outcome

PICTURE = base64.b64decode(PNG)
#: A bitmap of one point, which Claude cannot read.
BITMAP = b"BM" + bytes.fromhex("3a000000000000003600000028000000010000000100000001001800") + bytes(26)


def data_url(data: bytes = PICTURE, claimed: str = "image/png") -> str:
    return f"data:{claimed};base64,{base64.b64encode(data).decode()}"


def picture(url: str) -> Json:
    """An image part."""
    return {"type": "image_url", "image_url": {"url": url}}


def inlined(data: bytes = PICTURE, media_type: str = "image/png") -> Json:
    """The block that an image part becomes."""
    source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


@asynccontextmanager
async def pictures(routes: dict[str, Answer]) -> AsyncIterator[tuple[Site, Json]]:
    """A site on this machine, and the settings with which a gateway may fetch from it."""
    async with site(routes) as served:
        fetch = {"allow_private": ["127.0.0.0/8"], "extra_ports": [served.port]}
        yield served, {"fetch": fetch}


def broken(got: Outcome) -> tuple[list[Json], Json]:
    """The chunks of a stream that did not end well, and the error that ended it."""
    *chunks, last = got.response.events()
    assert last != "[DONE]"
    assert all("error" not in chunk for chunk in chunks)
    return chunks, last["error"]


def arguments(chunks: list[Json]) -> list[str]:
    """The pieces of tool arguments, as they came."""
    deltas: list[Json] = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    calls: list[Json] = [part for given in deltas for part in given.get("tool_calls", ())]
    return [part["function"]["arguments"] for part in calls]


def finishes(chunks: list[Json]) -> list[str]:
    return [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c.get("finish_reason")]


def marked(body: Any) -> list[Json]:
    """All that holds a cache marker in a body, in the order it stands there."""
    if isinstance(body, dict):
        own = [body] if "cache_control" in body else []
        return own + [found for value in body.values() for found in marked(value)]
    return [found for value in body for found in marked(value)] if isinstance(body, list) else []
