"""Every case of what other gateways got wrong has its test by number, or a reason why it cannot have one yet.

No test of a case comes in here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

NUMBERS: Final = range(1, 105)
#: Cases without a test: the surface they are about does not exist yet.
WAITING: Final[dict[int, str]] = {
    60: "There is no token counting yet.",
    70: "There is no messages surface yet.",
    93: "There is no token counting yet.",
}
#: Cases whose test covers what there is of their surfaces.
PARTLY: Final[dict[int, str]] = {
    66: "There is no messages surface yet.",
    86: "There is no messages surface yet.",
    90: "There is no messages surface yet.",
    91: "There is no messages surface yet.",
    94: "There is no messages surface yet.",
    103: "There is no messages surface yet, and no breaker at work.",
}
_TEST: Final = re.compile(r"^(?:async )?def test_e0*(\d+)_\w+\(", re.MULTILINE)


def numbers() -> set[int]:
    files = sorted(Path(__file__).parent.glob("test_e*.py"))
    return {int(number) for file in files for number in _TEST.findall(file.read_text("utf-8"))}


def test_every_case_is_tested_or_says_why_not() -> None:
    missing = set(NUMBERS) - numbers() - WAITING.keys()
    assert not missing, f"no test and no reason: {sorted(missing)}"


def test_no_case_waits_that_is_tested() -> None:
    both = numbers() & WAITING.keys()
    assert not both, f"tested, so take them out of WAITING: {sorted(both)}"
    assert numbers() | WAITING.keys() <= set(NUMBERS)


def test_every_reason_says_something() -> None:
    assert all(reason.endswith(".") for reason in (*WAITING.values(), *PARTLY.values()))
    assert PARTLY.keys() <= numbers(), "a case that is tested in part has a test"
