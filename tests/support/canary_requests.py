"""A request of each dialect, and two deployments of its model, for tests that look for the prompt elsewhere."""

from __future__ import annotations

from typing import Any

from modelmux.app import Gateway
from support.asgi import Response, request
from support.fakes import event
from support.gateway import MODEL, ask

BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "openai_chat": ("/v1/chat/completions", ask("canary prompt")),
    "openai_responses": ("/v1/responses", {"model": MODEL, "input": "canary prompt", "max_output_tokens": 100}),
    "anthropic_messages": (
        "/v1/messages",
        {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "canary prompt"}]},
    ),
}
TWO = {
    "models": [
        {
            "name": MODEL,
            "model": MODEL,
            "deployments": [{"location": "us-east5"}, {"location": "europe-west1", "order": 1}],
        }
    ],
}
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


async def ended(app: Gateway, dialect: str, headers: dict[str, str] | None = None, **fields: Any) -> Response:
    """What a gateway answers that is closed after that."""
    path, body = BODIES[dialect]
    response = await request(app, "POST", path, body | fields, headers or {})
    await app.aclose()
    return response
