"""What the scripts of clients of the Messages API share: the gateways, how to reach them, prompts and parameters.

What each case has to return is written in ``tests/e2e/clients/test_messages_clients.py``.
"""

from __future__ import annotations

import os
from typing import Any, Final

URL: Final = os.environ["GATEWAY_URL"]
#: A gateway that retries nothing, so that each attempt that reaches the upstream is one of the client.
URL_WITHOUT_RETRIES: Final = os.environ["GATEWAY_URL_WITHOUT_RETRIES"]
KEY: Final = os.environ["GATEWAY_KEY"]
IS_VERTEX: Final = os.environ["CLIENTS_MODE"] == "vertex"
#: What clients in Vertex mode have to know about the Google project; the gateway has its own.
VERTEX: Final = {"project_id": "not-the-gateways-project", "region": "us-east5"}

MAX_TOKENS: Final = 20_000
FOLLOW_UP: Final = "repeat after me: thank you"
BATCH: Final = {"custom_id": "1", "params": {"max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}}
#: One that is forwarded, one that is renamed, one that is dropped, one that the gateway does not know.
BETAS: Final = [
    "interleaved-thinking-2025-05-14",
    "advanced-tool-use-2025-11-20",
    "files-api-2025-04-14",
    "not-known-yet-2027-01-01",
]
WEATHER_TOOL: Final = {
    "name": "get_weather",
    "description": "The current weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def fault(words: str, model: str) -> str:
    """A prompt that the emulator answers with a fault, ``times`` counted for this model alone."""
    return f"[[emulator: {words} retry_after=0.05 key={model}]] repeat after me: a b c d e f g h i j k l m n o p"


def in_stream(words: str) -> str:
    """A prompt whose stream breaks."""
    return f"[[emulator: {words}]] repeat after me: a b c d e f g h i j k l m n o p"


def thinking_of(model: str) -> dict[str, Any]:
    """The parameter ``thinking`` that a model takes."""
    if "haiku-4-5" in model:
        return {"type": "enabled", "budget_tokens": 2000}
    return {"type": "adaptive", "display": "summarized"}
