"""One request through the whole gateway with a scripted upstream, and what came of it.

Every body that is sent upstream is checked by the emulator's rules, which share no code with the translator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from modelmux.app import Gateway
from modelmux.catalog import builtin
from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.validation.validate import validate_request
from modelmux.wire.http import HttpCall
from support.asgi import Response, request
from support.blocks import SONNET, USER, Json, reply_of, text
from support.fakes import FakeUpstream
from support.gateway import PATH, gateway


class Outcome:
    """What the client received, and what was sent upstream."""

    def __init__(self, response: Response, upstream: FakeUpstream, app: Gateway) -> None:
        self.response = response
        self.upstream = upstream
        self.app = app

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def sent(self) -> Json:
        """The body of the last call."""
        return self.upstream.body()

    @property
    def turns(self) -> list[Json]:
        messages: list[Json] = self.sent["messages"]
        return messages

    @property
    def betas(self) -> bytes | None:
        return dict(self.upstream.calls[-1].headers).get(b"anthropic-beta")

    @property
    def notices(self) -> list[str]:
        """Entries of the notices header, such as ``dropped=temperature``."""
        return [entry for entry in self.response.headers.get("x-modelmux-notices", "").split(", ") if entry]

    @property
    def error(self) -> Json:
        error: Json = self.response.json()["error"]
        return error

    @property
    def chunks(self) -> list[Json]:
        """The chunks of a stream that ended well."""
        *chunks, last = self.response.events()
        assert last == "[DONE]", last
        return chunks

    @property
    def deltas(self) -> list[Json]:
        return [choice["delta"] for chunk in self.chunks for choice in chunk["choices"]]

    @property
    def finish(self) -> str:
        if not self._streamed:
            return str(self.response.json()["choices"][0]["finish_reason"])
        (reason,) = finish_reasons(self.chunks)
        return str(reason)

    @property
    def message(self) -> Json:
        """The message; a stream is folded the way a client does it."""
        if not self._streamed:
            message: Json = self.response.json()["choices"][0]["message"]
            return message
        return fold_deltas(self.deltas)

    @property
    def usage(self) -> Json:
        if not self._streamed:
            usage: Json = self.response.json()["usage"]
            return usage
        (usage,) = [chunk["usage"] for chunk in self.chunks if chunk.get("usage")]
        return dict(usage)

    @property
    def _streamed(self) -> bool:
        return self.response.headers["content-type"].startswith("text/event-stream")


def fold_deltas(deltas: list[Json]) -> Json:
    """Deltas -> message. The delta with its id starts a tool call, at the next index in order."""
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    calls: list[Json] = []
    for delta in deltas:
        for name in ("content", "reasoning_content", "refusal"):
            if delta.get(name):
                message[name] = (message.get(name) or "") + delta[name]
        for name in ("annotations", "thinking_blocks"):
            if delta.get(name):
                message[name] = message.get(name, []) + delta[name]
        for part in delta.get("tool_calls", ()):
            if "id" in part:
                assert part["index"] == len(calls)
                function = {"name": part["function"]["name"], "arguments": part["function"].get("arguments", "")}
                calls.append({"id": part["id"], "type": "function", "function": function})
            else:
                calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    return message | ({"tool_calls": calls} if calls else {})


async def chat(
    *replies: Any,
    settings: Json | None = None,
    headers: dict[str, str] | None = None,
    app: Gateway | None = None,
    **fields: Any,
) -> Outcome:
    """Send one request; ``fields`` add to a small body or change it (None leaves one out).

    :param replies: the upstream's script; a short text if there is none.
    :param settings: tables of the configuration, merged over a minimal one without automatic cache markers.
    :param app: a gateway of an earlier call; its upstream gets the script.
    """
    if app is None:
        tables = dict(settings or {})
        vertex = {"prompt_caching": False} | tables.pop("vertex", {})
        app = gateway(FakeUpstream([]), vertex=vertex, **tables)
    upstream = app._upstream
    assert isinstance(upstream, FakeUpstream)
    before = len(upstream.calls)
    upstream.script = list(replies) or [reply_of(text("Hello"), stream=bool(fields.get("stream")))]
    body = {"model": SONNET, "max_tokens": 2000, "messages": [USER], **fields}
    sent = {name: value for name, value in body.items() if value is not None}
    response = await request(app, "POST", PATH, sent, headers)
    for call in upstream.calls[before:]:
        assert_legal(call)
    return Outcome(response, upstream, app)


_MODEL = re.compile(r"/models/(?P<model>[^/]+):(?:rawPredict|streamRawPredict)$")


def assert_legal(call: HttpCall) -> None:
    """The emulator's rules accept this call."""
    match = _MODEL.search(call.target)
    assert match, call.target
    model = unquote(match["model"])
    headers: Mapping[bytes, bytes] = dict(call.headers)
    betas = frozenset(b for b in headers.get(b"anthropic-beta", b"").decode().split(",") if b)
    body = json.loads(call.body)
    validate_request(
        EmulatedCall(project="p", location="global", model=model, card=builtin().card(model), body=body, betas=betas)
    )


def broken_stream(got: Outcome) -> tuple[list[Json], Json]:
    """The chunks of a stream that ended with an error, and that error."""
    *chunks, last = got.response.events()
    assert last != "[DONE]"
    assert all("error" not in chunk for chunk in chunks)
    return chunks, last["error"]


def argument_pieces(chunks: list[Json]) -> list[str]:
    """The pieces of tool arguments, in order."""
    deltas: list[Json] = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    calls: list[Json] = [part for delta in deltas for part in delta.get("tool_calls", ())]
    return [part["function"]["arguments"] for part in calls]


def finish_reasons(chunks: list[Json]) -> list[str]:
    return [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c.get("finish_reason")]


def cache_markers(body: Any) -> list[Json]:
    """Every object of a body that has a cache marker, in order."""
    if isinstance(body, dict):
        own = [body] if "cache_control" in body else []
        return own + [block for value in body.values() for block in cache_markers(value)]
    return [block for value in body for block in cache_markers(value)] if isinstance(body, list) else []


def token_count(app: Gateway, kind: str, route: str = SONNET) -> float:
    """How many tokens of ``kind`` the metrics show for ``route``."""
    return app.metrics.registry.get_sample_value("modelmux_tokens_total", {"route": route, "type": kind}) or 0.0
