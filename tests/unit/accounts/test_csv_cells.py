"""Risk: a spreadsheet runs what a client sent."""

from __future__ import annotations

import pytest

from modelmux.accounts.csv_cells import safe_cell


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "＋1", "－1", "＠x"]
)
def test_a_cell_that_would_be_a_formula_is_text(text: str) -> None:
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["", "a=1", "claude-opus-5-5", "1-2", "'=1", "名前"])
def test_other_cells_are_left_as_they_are(text: str) -> None:
    assert safe_cell(text) == text
