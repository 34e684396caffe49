"""Risk: a path that is not UTF-8, which Linux allows, ends the command that should explain what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

from support.cli import run


def test_a_home_directory_that_is_not_utf8(tmp_path: Path) -> None:
    home = tmp_path / os.fsdecode(b"home\xff")
    home.mkdir()
    result = run("doctor", "--json", home=home)
    assert result.code == 1, result.stderr
    report = json.loads(result.stdout)
    assert "home\udcff" in " ".join(check["detail"] for check in report["checks"])
