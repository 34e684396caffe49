"""An upstream with an answer for each model, for tests of routes that are served by several models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from modelmux.app import Gateway
from modelmux.errors import GatewayError
from modelmux.wire.http import HttpCall
from support.asgi import Response, request
from support.fakes import FakeReply, FakeUpstream, error_reply, message_reply, stream_reply, text_events
from support.gateway import PATH, ask, gateway

_CALL = re.compile(r"/locations/(?P<location>[^/]+)/.*/models/(?P<model>[^/:@]+)")
#: A reply, an error to raise, or a function of the call that returns one of them.
Step = FakeReply | GatewayError | Callable[[HttpCall], "FakeReply | GatewayError"]


def overloaded() -> FakeReply:
    return error_reply(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


def refusal(message: str = "no") -> FakeReply:
    """A 400."""
    return error_reply(400, {"type": "error", "error": {"type": "invalid_request_error", "message": message}})


def not_found() -> FakeReply:
    return error_reply(404, [{"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}])


class ModelUpstream(FakeUpstream):
    """Answers by the model that is called: its script's next step, or else a reply that names the model."""

    def __init__(self, **scripts: list[Step]) -> None:
        super().__init__([])
        self.scripts = {name.replace("_", "-"): steps for name, steps in scripts.items()}

    async def send(self, call: HttpCall) -> FakeReply:
        self.calls.append(call)
        model = _model(call)
        steps = next((steps for name, steps in self.scripts.items() if name in model), None)
        step: Any = steps.pop(0) if steps else fine(call)
        if callable(step):
            step = step(call)
        if isinstance(step, GatewayError):
            raise step
        self.replies.append(step)
        return step

    def called(self) -> list[str]:
        """Model and location of every call since the last time: ``claude-sonnet-4-6@eu``."""
        calls, self.calls = self.calls, []
        return [f"{_model(call)}@{match['location']}" for call in calls if (match := _CALL.search(call.target))]


def fine(call: HttpCall) -> FakeReply:
    """A reply whose text is the model's name, streamed if the call asks for it."""
    model = _model(call)
    return stream_reply(*text_events(model)) if json.loads(call.body).get("stream") else message_reply(model)


def _model(call: HttpCall) -> str:
    match = _CALL.search(call.target)
    assert match is not None, call.target
    return match["model"]


SONNET, HAIKU, OPUS = "claude-sonnet-4-6", "claude-haiku-5-5", "claude-opus-4-8"
#: ``smart`` is served by one deployment of Sonnet, then by the catalog's Haiku.
SMART: dict[str, Any] = {"name": "smart", "model": SONNET, "location": "eu", "fallbacks": [HAIKU]}


def serve(upstream: ModelUpstream, *models: dict[str, Any], **settings: Any) -> Gateway:
    """A gateway with these models, or ``SMART``."""
    return gateway(upstream, vertex={"models": list(models) or [SMART]}, **settings)


async def call(app: Gateway, headers: dict[str, str] | None = None, **fields: Any) -> Response:
    """Ask ``smart``."""
    return await request(app, "POST", PATH, {**ask(), "model": "smart", **fields}, headers)
