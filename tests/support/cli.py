"""Running commands as a stranger with an empty home, and comparing what they say with a file.

``MODELMUX_UPDATE_SNAPSHOTS=1 pytest ...`` writes the files anew; read the difference before it is committed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from click.testing import CliRunner

from modelmux.version import __version__
from support.processes import clean_environment

SNAPSHOTS = Path(__file__).resolve().parents[1] / "unit" / "cli" / "snapshots"
UPDATE = "MODELMUX_UPDATE_SNAPSHOTS"
_MORE = ("PORT", "NO_COLOR", "FORCE_COLOR", "EDITOR", "VISUAL", "CLOUDSDK_CONFIG", "CLOUDSDK_CORE_PROJECT", "APPDATA")


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    arguments: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    home: Path

    def text(self, replace: Mapping[str, str] | None = None) -> str:
        """All of it, with what differs between machines replaced: the home, the version, and what the test names."""
        shown = "".join(
            f"--- {name}\n{text}{'' if text.endswith(chr(10)) else chr(10)}"
            for name, text in (("stdout", self.stdout), ("stderr", self.stderr))
            if text
        )
        whole = f"$ modelmux {shlex.join(self.arguments)}\nexit {self.code}\n{shown}"
        for old, new in {**(replace or {}), str(self.home): "HOME", __version__: "VERSION"}.items():
            whole = whole.replace(old, new)
        return re.sub(r"[ \t]+$", "", whole, flags=re.MULTILINE)


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Nothing of the person who runs the tests: no settings, no Google login, no editor, a fixed width, no colours."""
    kept = {k: v for k, v in clean_environment(home).items() if k not in _MORE and not k.startswith("CLOUDSDK_")}
    return {**kept, "COLUMNS": "120", "TERM": "dumb", "LC_ALL": "C.UTF-8", **variables}


def run(*arguments: str, home: Path, input: str | None = None, **variables: str) -> Said:
    """A command in this process, in the folder ``home``, which is its home too."""
    from modelmux.cli.main import main

    with mock.patch.dict(os.environ, environment(home, **variables), clear=True), contextlib.chdir(home):
        result = CliRunner().invoke(main, list(arguments), input=input, prog_name="modelmux")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(arguments, result.exit_code, result.stdout, result.stderr, home)


def run_process(*arguments: str, home: Path, input: str = "", seconds: float = 50, **variables: str) -> Said:
    """A command as a process of its own: for what signals, pipes and the start of the program do."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "modelmux", *arguments],
        input=input, capture_output=True, text=True, timeout=seconds, cwd=home, check=False,
        env=environment(home, **variables),
    )  # fmt: skip
    return Said(arguments, result.returncode, result.stdout, result.stderr, home)


def check_snapshot(name: str, *said: Said, replace: Mapping[str, str] | None = None) -> None:
    """Compare with ``tests/unit/cli/snapshots/{name}.txt``.

    :param replace: further texts that differ from run to run -> what stands in the file for them.
    """
    file = SNAPSHOTS / f"{name}.txt"
    text = "\n".join(one.text(replace) for one in said)
    if os.environ.get(UPDATE):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    expected = file.read_text("utf-8") if file.exists() else f"{file} does not exist; {UPDATE}=1 writes it"
    assert text == expected, f"{UPDATE}=1 writes {file.name} anew"
