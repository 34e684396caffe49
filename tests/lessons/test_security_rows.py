"""Every security incident (S) and every guarantee (G) has its test by number, or a reason why it cannot have one yet.

No test of a row comes in here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

NUMBERS: Final = {"s": range(1, 45), "g": range(1, 77)}
_NO_KEYS_API: Final = "There is no API that makes keys, users or roles yet."
_NO_DATABASE: Final = "There is no database yet."
_NO_BUDGETS: Final = "There are no budgets and no ledger yet."
#: Rows without a test: the surface they are about does not exist yet.
WAITING: Final[dict[str, str]] = {
    "s23": _NO_KEYS_API,
    "s24": _NO_KEYS_API,
    "s37": "No route hands out anything stored by an id yet; what is remembered by tool call is S19.",
    "s38": "There are no webhooks, so no secret signs them; S12 holds that, and an empty API key is S34.",
    "g39": _NO_DATABASE,
    "g40": _NO_DATABASE,
    "g41": _NO_BUDGETS,
    "g42": _NO_BUDGETS,
    "g46": "Keys stand in the configuration, so no look-up of one can fail.",
    "g54": "Metrics of workers are asked for over pipes, so there is no directory to share.",
    "g67": _NO_BUDGETS,
    "g68": "There are no limits by key yet.",
}
#: Rows whose test covers what there is of their surfaces.
PARTLY: Final[dict[str, str]] = {
    "s6": "There is no admin API whose answers could be searched.",
    "s7": "There are no sessions.",
    "s13": "There is no dashboard.",
    "s26": "There are no hooks that could be shown.",
    "s32": "There are no exporters but the metrics.",
    "g12": "There are no exporters but the metrics.",
    "g13": "There is no ledger; the counters stand for it.",
    "g44": "There is no messages surface.",
    "g47": "There is no database to be without.",
    "g63": "That a reload reaches every worker is held by tests/e2e/test_workers.py.",
}
_TEST: Final = re.compile(r"^(?:async )?def test((?:_[sg]\d+)+)_[a-z]\w+\(", re.MULTILINE)


def rows_tested() -> set[str]:
    """Rows such as ``s7`` and ``g45``; a test may stand for several (``test_g50_g51_…``)."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("test_s[0-9]*.py")), *sorted(here.glob("test_guarantees_*.py"))]
    found = [rows for file in files for rows in _TEST.findall(file.read_text("utf-8"))]
    return {row for rows in found for row in rows.strip("_").split("_")}


@pytest.mark.parametrize("kind", NUMBERS)
def test_every_row_is_tested_or_says_why_not(kind: str) -> None:
    rows = {f"{kind}{number}" for number in NUMBERS[kind]}
    missing = rows - rows_tested() - WAITING.keys()
    assert not missing, f"no test and no reason: {sorted(missing)}"
    assert {row for row in rows_tested() | WAITING.keys() if row.startswith(kind)} <= rows


def test_no_row_waits_that_is_tested() -> None:
    both = rows_tested() & WAITING.keys()
    assert not both, f"tested, so take them out of WAITING: {sorted(both)}"


def test_every_reason_says_something() -> None:
    assert all(reason.endswith(".") for reason in (*WAITING.values(), *PARTLY.values()))
    assert PARTLY.keys() <= rows_tested(), "a row that is tested in part has a test"
