"""How a person runs this program from the directory they are in: by its name, or by the path of its environment."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

NAME = "modelmux"


class Program(NamedTuple):
    """How to run the program.

    :ivar command: ready for a shell.
    :ivar activate: what to run in a shell of its own before the name alone works; empty if it works already, or if
        there is no such script.
    """

    command: str
    activate: str = ""


def find_program(interpreter: str = sys.executable, cwd: Path | None = None, search_path: str | None = None) -> Program:
    """How to run the program that this interpreter belongs to.

    :param cwd: paths below it are written relative to it; the working directory by default.
    :param search_path: where shells look; ``PATH`` by default.
    """
    folder = Path(interpreter).parent
    installed = shutil.which(NAME, path=str(folder))
    if installed is None:
        return Program(f"{shlex.quote(_shown(Path(interpreter), cwd))} -m {NAME}")
    found = shutil.which(NAME, path=search_path)
    if found is not None and Path(found).resolve() == Path(installed).resolve():
        return Program(NAME)
    script = folder / "activate"
    activate = f"source {shlex.quote(_shown(script, cwd))}" if script.is_file() else ""
    return Program(shlex.quote(_shown(folder / NAME, cwd)), activate)


def _shown(path: Path, cwd: Path | None) -> str:
    """Relative to the working directory where it is below it."""
    try:
        relative = path.relative_to(cwd or Path.cwd())
    except (OSError, ValueError):
        return str(path)
    return str(relative) if os.sep in str(relative) else f".{os.sep}{relative}"
