"""The recorded traffic next to the project, where it is present. It is not copied into the project."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "recordings"
REQUESTS = FOLDER.parent / "openai_requests"
MESSAGES_REQUESTS = FOLDER.parent / "messages_requests"
RESPONSES_REQUESTS = FOLDER.parent / "responses_requests"
_ABSENT = pytest.mark.skip(reason="the recorded traffic (../shared) is not here")


@cache
def load(path: Path) -> dict[str, Any]:
    recording: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return recording


def recordings(*kinds: str) -> list[Any]:
    """pytest parameters: one for each recording of these kinds, or a single skipped one."""
    paths = sorted(FOLDER.glob("*.json")) if FOLDER.is_dir() else []
    params = [pytest.param(load(path), id=path.stem) for path in paths if load(path)["kind"] in kinds]
    return params or [pytest.param({}, marks=_ABSENT)]


def openai_requests() -> list[Any]:
    """pytest parameters: one for each recorded client request, or a single skipped one."""
    paths = sorted(REQUESTS.glob("*.json")) if REQUESTS.is_dir() else []
    return [pytest.param(load(path), id=path.stem) for path in paths] or [pytest.param({}, marks=_ABSENT)]


def messages_requests(*surfaces: str) -> list[Any]:
    """pytest parameters: one for each recorded request to these surfaces, or a single skipped one."""
    paths = sorted(MESSAGES_REQUESTS.glob("*.json")) if MESSAGES_REQUESTS.is_dir() else []
    params = [pytest.param(load(path), id=path.stem) for path in paths if load(path)["surface"] in surfaces]
    return params or [pytest.param({}, marks=_ABSENT)]


def responses_exchanges(answer: str) -> list[Any]:
    """pytest parameters: one for each recorded exchange with OpenAI Responses, or a single skipped one.

    :param answer: what the response has: ``body`` or ``sse``.
    """
    paths = sorted(RESPONSES_REQUESTS.glob("*.json")) if RESPONSES_REQUESTS.is_dir() else []
    params = [pytest.param(load(path), id=path.stem) for path in paths if answer in (load(path)["response"] or ())]
    return params or [pytest.param({}, marks=_ABSENT)]


def responses_requests() -> list[Any]:
    """pytest parameters: one for each recorded request that creates a response, or a single skipped one."""
    paths = sorted(RESPONSES_REQUESTS.glob("*.json")) if RESPONSES_REQUESTS.is_dir() else []
    params = [pytest.param(load(path), id=path.stem) for path in paths if _creates_response(load(path))]
    return params or [pytest.param({}, marks=_ABSENT)]


def _creates_response(recording: dict[str, Any]) -> bool:
    return isinstance(recording["request"], dict) and "conversations" not in (recording["endpoint"] or "")
