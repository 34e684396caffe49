"""Risk: a public report comes in, and no test reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.reports import FOLDER

TESTS = Path(__file__).parents[1]


def test_every_report_has_a_test() -> None:
    names = {path.stem for path in FOLDER.glob("*.json")}
    if not names:
        pytest.skip("the public reports (../shared) are not here")
    read = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    assert {name for name in names if f'"{name}"' not in read and f"{name}.json" not in read} == set()
