"""How the program is reached: by name where a shell finds it, else by a path that can be pasted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from modelmux.cli.demo.program import Program, find_program


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment in a checkout, as far as it matters here."""
    folder = tmp_path / "check out" / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "modelmux"):
        (folder / name).write_text("#!/bin/sh\necho it runs\n")
        (folder / name).chmod(0o755)
    (folder / "activate").touch()
    return folder


def found(environment: Path, cwd: Path, search_path: str = "/nonexistent") -> Program:
    return find_program(str(environment / "python"), cwd, search_path)


def test_it_is_a_path_relative_to_the_checkout_where_the_name_is_not_found(environment: Path) -> None:
    checkout = environment.parent.parent
    assert found(environment, checkout) == Program(".venv/bin/modelmux", "source .venv/bin/activate")


def test_elsewhere_it_is_a_whole_path_that_a_shell_takes(environment: Path) -> None:
    command = found(environment, Path("/")).command
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True, cwd="/").stdout == b"it runs\n"


def test_inside_of_its_directory_the_path_has_a_dot(environment: Path) -> None:
    assert found(environment, environment).command == "./modelmux"


def test_it_is_the_name_where_a_shell_finds_this_program(environment: Path, tmp_path: Path) -> None:
    """pipx and uv link to it from a directory of the PATH."""
    (tmp_path / "modelmux").symlink_to(environment / "modelmux")
    for search_path in (str(environment), str(tmp_path)):
        assert found(environment, tmp_path, search_path) == Program("modelmux")


def test_another_program_of_that_name_is_not_this_one(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "modelmux").write_text("#!/bin/sh\n")
    (tmp_path / "modelmux").chmod(0o755)
    assert found(environment, environment.parent.parent, str(tmp_path)).command == ".venv/bin/modelmux"


def test_without_a_script_the_interpreter_runs_it(environment: Path) -> None:
    (environment / "modelmux").unlink()
    assert found(environment, environment.parent.parent) == Program(".venv/bin/python -m modelmux")
