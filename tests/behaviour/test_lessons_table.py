"""Risk: docs/lessons.md names a test that does not exist, or a numbered test is missing from its table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).resolve().parents[1]
PAGE: Final = TESTS.parent / "docs" / "lessons.md"
#: Translation, operation, security and accounts: the numbers that the page has.
NUMBERS: Final = {"E": range(1, 105), "G": range(1, 77), "S": range(1, 45), "A": range(1, 53)}
_ROW: Final = re.compile(r"^\| ([AEGS]\d+) \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(\.\./(tests/[\w/]+\.py)\)")
#: One test may cover several numbers: ``test_g50_g51_...``.
_TEST: Final = re.compile(r"^(?:async )?def test((?:_[aegs]\d+)+)_[a-z]\w+\(", re.MULTILINE)

ROWS: Final = {number: (risk, test) for number, risk, _, test in _ROW.findall(PAGE.read_text("utf-8"))}


def numbered_tests() -> dict[str, set[str]]:
    """Number -> the files with a test that has it in its name."""
    files: dict[str, set[str]] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        for names in _TEST.findall(file.read_text("utf-8")):
            for number in names.upper().strip("_").split("_"):
                files.setdefault(number, set()).add(file.relative_to(TESTS.parent).as_posix())
    return files


@pytest.mark.parametrize("kind", NUMBERS)
def test_the_page_has_every_number_once(kind: str) -> None:
    numbers = re.findall(rf"^\| ({kind}\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert numbers == [f"{kind}{number}" for number in NUMBERS[kind]]


def test_every_number_links_the_files_that_test_it() -> None:
    links = {number: set(_LINK.findall(test)) for number, (_, test) in ROWS.items()}
    assert {number: files for number, files in links.items() if files} == numbered_tests()


def test_a_number_without_a_test_says_why() -> None:
    for number, (_, test) in ROWS.items():
        assert _LINK.search(test) or re.fullmatch(r"Not yet\. [A-Z].+\.", test), number


def test_every_promise_of_accounts_is_tested() -> None:
    assert {f"A{number}" for number in NUMBERS["A"]} <= numbered_tests().keys()


def test_every_risk_is_a_sentence() -> None:
    assert all(risk.endswith(".") for risk, _ in ROWS.values())
