"""The inputs of public reports: requests that went wrong at a gateway, each with what is expected in prose.

They lie beside the repository (``../shared/reports``), not in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reports"


def report(name: str) -> dict[str, Any]:
    """One report; the test is skipped where the reports are not here."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        pytest.skip("the public reports (../shared) are not here")
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def body_of(loaded: dict[str, Any]) -> bytes:
    """The body that the client posts: as text where it cannot be written as JSON."""
    return loaded["body"].encode() if "body" in loaded else json.dumps(loaded["request"]).encode()
