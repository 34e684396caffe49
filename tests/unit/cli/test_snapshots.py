"""What every command prints, and how it ends, where nothing is configured."""

from __future__ import annotations

from pathlib import Path

from support.cli import check_snapshot, run


def test_explain_of_a_missing_file(tmp_path: Path) -> None:
    check_snapshot("explain_missing", run("explain", "absent.json", home=tmp_path))
