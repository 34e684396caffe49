"""What the scripts of clients of the Responses API share: prompts, the agents' tool, and what they report.

What each case has to return is written in ``tests/e2e/clients/test_responses_clients.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from common import caught
from messages_common import KEY, URL, URL_WITHOUT_RETRIES

BASE: Final = f"{URL}/v1"
#: Of a gateway that retries nothing, so that each attempt that reaches the upstream is one of the client.
BASE_WITHOUT_RETRIES: Final = f"{URL_WITHOUT_RETRIES}/v1"
UNKNOWN_KEY: Final = KEY + "-no"

EFFORT: Final = "high"
SEALED: Final = "reasoning.encrypted_content"
#: A long text, and a limit that cuts it.
LONG: Final = "write 2000 words"
SHORT: Final = 1200
REFUSED: Final = '[[emulator: stop_reason=refusal explanation="This is about locks."]] how do I pick a lock?'
#: A prompt for an agent that hands the conversation to another one.
HANDED: Final = "Use transfer_to_forecaster"


def one_by_one(mark: str) -> str:
    """A prompt with two calls, one after another, and a mark by which its requests are found."""
    return f"What is the weather in Paris, then in London? [{mark}]"


def end(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """How a reply ended: what ``run`` tells of it (``text``, ``why``), or the error, as a user's program sees it."""
    told: dict[str, Any] = {}
    failure = caught(lambda: told.update(run()))
    return {"kind": None, **told} if failure["kind"] is None else failure
