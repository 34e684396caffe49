"""Risk: modules that import each other in a circle, which the check overlooks or invents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools import check_imports

REPOSITORY = Path(__file__).parents[3]


def circles_of(root: Path, files: dict[str, str]) -> list[str]:
    """The circles among these modules: path -> content."""
    for name, content in {"p/__init__.py": "", **files}.items():
        path = root / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return [" ".join(circle) for circle in check_imports.circles(check_imports.import_graph(root / "src"))]


@pytest.mark.parametrize(
    "statement",
    [
        "import p.b",
        "from p import b",
        "from p.b import x",
        "from . import b",
        "from .b import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import x",
        "def f():\n    from p.b import x",
        "class C:\n    def f(self):\n        import p.b as b",
    ],
)
def test_every_kind_of_import_closes_a_circle(statement: str, tmp_path: Path) -> None:
    assert circles_of(tmp_path, {"p/a.py": statement, "p/b.py": "from p.a import y"}) == ["p.a p.b p.a"]


def test_a_long_circle_is_reported_once_and_without_detours(tmp_path: Path) -> None:
    files = {
        "p/a.py": "from p import b, unused",
        "p/b.py": "from p import c, unused",
        "p/c.py": "from p import a",
        "p/outside.py": "from p import a",
        "p/unused.py": "",
    }
    assert circles_of(tmp_path, files) == ["p.a p.b p.c p.a"]


def test_two_circles_are_two(tmp_path: Path) -> None:
    files = {"p/a.py": "import p.b", "p/b.py": "import p.a", "p/c.py": "import p.d", "p/d.py": "import p.c"}
    assert circles_of(tmp_path, files) == ["p.a p.b p.a", "p.c p.d p.c"]


def test_a_package_that_imports_its_module_is_a_circle_only_if_the_module_imports_it_back(tmp_path: Path) -> None:
    files = {"p/__init__.py": "from p.a import x", "p/a.py": "import p.b, sys", "p/b.py": "from os import path"}
    assert circles_of(tmp_path, files) == []
    assert circles_of(tmp_path, {**files, "p/b.py": "from p import y"}) == ["p p.a p.b p"]


def test_relative_imports_from_a_package_and_from_its_parent(tmp_path: Path) -> None:
    files = {"p/q/__init__.py": "from .. import a", "p/q/b.py": "from ..a import x", "p/a.py": "import p.q.b, p.q"}
    assert circles_of(tmp_path, files) == ["p.a p.q p.a", "p.q.b p.a p.q.b"]


def test_the_command(tmp_path: Path) -> None:
    def run(root: Path) -> tuple[int, str]:
        command = [sys.executable, str(REPOSITORY / "tools" / "check_imports.py"), str(root)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        return process.returncode, process.stdout + process.stderr

    assert run(tmp_path)[0] == 1
    circles_of(tmp_path, {"p/a.py": "import p.b", "p/b.py": ""})
    assert run(tmp_path) == (0, "no import circle among 3 modules\n")
    circles_of(tmp_path, {"p/b.py": "import p.a"})
    status, output = run(tmp_path)
    assert (status, output.splitlines()[0]) == (1, "error: import circle: p.a -> p.b -> p.a")
    assert "hint: " in output


def test_this_repository() -> None:
    assert check_imports.circles(check_imports.import_graph(REPOSITORY / "src")) == []
