"""Runs the cases of one client and writes what came of them as one JSON object, to the file it is told.

Runs in the environment of the clients, not in the one of the tests: nothing of the tests may be imported here. What
each case has to return is written in ``tests/e2e/clients/test_clients.py``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

BASE_URL = os.environ["OPENAI_BASE_URL"]
API_KEY = os.environ["OPENAI_API_KEY"]
PICTURE = os.environ["CLIENTS_PICTURE"]
ECHO = "repeat after me: one two three grüße 東京 six seven"
WEATHER = "What is the weather in Paris and London?"
ABOUT = "Report about Oslo"
LOOK = "Look at this"
BROKEN = "[[emulator: error_after_event=6]] repeat after me: a b c d e f g h i j k l m n o p"
#: Answers of the weather tool, by city.
SKY = {"Paris": "18 degrees", "London": "rain at 14 degrees"}
WEATHER_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The current weather of a city",
        "parameters": WEATHER_SCHEMA,
    },
}

_cases: list[Callable[[str], Any]] = []


class Spot(BaseModel):
    name: str
    height: float


class Report(BaseModel):
    """A report about a city."""

    city: str
    unit: Literal["celsius", "fahrenheit"]
    best: Spot
    spots: list[Spot]
    remark: str | None


def case(run: Callable[[str], Any]) -> Callable[[str], Any]:
    """Registers a function that gets a model's name and returns JSON."""
    _cases.append(run)
    return run


def caught(run: Callable[[], Any]) -> dict[str, Any]:
    """The error that ``run`` ends with, as a user's program sees it."""
    try:
        said = run()
    except Exception as error:
        return {
            "kind": f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}",
            "status": getattr(error, "status_code", None),
            "message": str(error),
            "request_id": getattr(error, "request_id", None),
        }
    return {"kind": None, "said": repr(said)}


def main() -> None:
    """Run every case with every model: ``script.py RESULT_FILE MODEL...``."""
    outcomes: dict[str, Any] = {}
    for model in sys.argv[2:]:
        for run in _cases:
            try:
                outcome = {"value": run(model)}
            except Exception:
                outcome = {"failure": traceback.format_exc()}
            outcomes[f"{run.__name__} {model}"] = outcome
    Path(sys.argv[1]).write_text(json.dumps(outcomes))
