"""Cells of CSV files, whose text comes from clients."""

from __future__ import annotations

from typing import Final

#: What makes a spreadsheet take a cell for a formula (https://owasp.org/www-community/attacks/CSV_Injection), in the
#: wide forms of East Asia too.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe_cell(text: str) -> str:
    """A cell of text that no spreadsheet takes for a formula: such text begins with an apostrophe."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
