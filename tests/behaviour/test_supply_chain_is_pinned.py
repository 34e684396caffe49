"""Risk: a dependency or build step that changed runs code at installation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from support.security import ROOT, SOURCE


def test_s8_dependencies_are_few_and_pinned_by_hash() -> None:
    locked = (ROOT / "requirements" / "run.lock").read_text("utf-8")
    pins = re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE)
    assert len(pins) < 40
    for block in re.split(r"\n(?=[a-z0-9])", locked.strip()):
        if "==" in block.split("\n")[0]:
            assert "--hash=sha256:" in block, block[:80]
    for file in (ROOT / "Makefile", ROOT / "packaging" / "docker" / "Dockerfile"):
        assert "--require-hashes" in file.read_text("utf-8"), file
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["src/modelmux"]}
    assert len(project["project"]["dependencies"]) <= 14


_AUDITED = {"name": "a", "version": "1", "vulns": []}


_HOLE = {"name": "b", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}


_SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "stderr", "code"),
    [
        ([_AUDITED, _AUDITED], "", 0),
        ([_AUDITED, _HOLE], "", 1),
        ([_AUDITED, _SKIPPED], "", 1),
        ([_SKIPPED, _SKIPPED], "", 0),  # an index without advisories
        (None, "requests.exceptions.ConnectionError: Max retries exceeded", 0),
        (None, "error: unrecognized arguments", 1),
    ],
)
def test_s8_the_audit_fails_on_a_known_vulnerability(tmp_path: Path, dependencies: Any, stderr: str, code: int) -> None:
    fake, shown = tmp_path / "pip-audit", "" if dependencies is None else json.dumps({"dependencies": dependencies})
    fake.write_text(f"#!{sys.executable}\nimport sys\nsys.stdout.write({shown!r})\nsys.stderr.write({stderr!r})\n")
    fake.chmod(0o700)
    audit = [sys.executable, str(ROOT / ".ci" / "audit.py"), str(fake), "x"]
    ran = subprocess.run(audit, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == code, ran.stderr
    assert ("NOT AUDITED" in ran.stderr) == (code == 0 and dependencies != [_AUDITED, _AUDITED])
    assert "make audit" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_s8_the_package_runs_no_code_at_installation() -> None:
    kinds = {file.suffix for file in SOURCE.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert kinds <= {
        ".py",
        ".toml",
        ".typed",
        ".service",
        ".txt",
        ".json",
        ".md",
        ".yaml",
        ".css",
        ".js",
        ".sql",
        ".html",
        ".svg",
    }
    assert not list(SOURCE.rglob("*.pth"))
    workflows = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/workflows/*.yaml")]
    for workflow in workflows:
        for used in re.findall(r"uses:\s*(\S+)", workflow.read_text("utf-8")):
            assert re.search(r"@[0-9a-f]{40}$", used), f"{workflow.name}: {used} is not pinned by its hash"
