"""What the program and its older commands print, and how they end, where nothing is configured."""

from __future__ import annotations

from pathlib import Path

from support.cli import check_snapshot, run


def test_the_program_itself(tmp_path: Path) -> None:
    check_snapshot(
        "program",
        run("--help", home=tmp_path),
        run("--version", home=tmp_path),
        run("config", "--help", home=tmp_path),
        run("serve", home=tmp_path),
        run("reload", home=tmp_path),
        run("explain", "absent.json", home=tmp_path),
        run("emulate", "--scenario", "absent.toml", home=tmp_path),
        run("confg", home=tmp_path),
        run("config", "shwo", home=tmp_path),
    )
