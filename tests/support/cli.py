"""Running commands with an empty home directory, and comparing what they print with a file.

``MODELMUX_UPDATE_SNAPSHOTS=1 pytest ...`` writes the files anew; read the difference before it is committed.
"""

from __future__ import annotations

import contextlib
import difflib
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

from modelmux.runtime import Runtime
from modelmux.version import __version__
from support.clock import TODAY
from support.processes import clean_environment

SNAPSHOTS = Path(__file__).resolve().parents[1] / "unit" / "cli" / "snapshots"
UPDATE = "MODELMUX_UPDATE_SNAPSHOTS"
_MORE = ("PORT", "NO_COLOR", "FORCE_COLOR", "EDITOR", "VISUAL", "CLOUDSDK_CONFIG", "CLOUDSDK_CORE_PROJECT", "APPDATA")


@dataclass(frozen=True)
class CommandResult:
    """What a command printed, and its exit code."""

    arguments: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    home: Path

    def text(self, replace: Mapping[str, str] | None = None) -> str:
        """Command and output; what differs between machines is replaced: home, version, and what the test names."""
        shown = "".join(
            f"--- {name}\n{text}{'' if text.endswith(chr(10)) else chr(10)}"
            for name, text in (("stdout", self.stdout), ("stderr", self.stderr))
            if text
        )
        text = f"$ modelmux {shlex.join(self.arguments)}\nexit {self.code}\n{shown}"
        for old, new in {**(replace or {}), str(self.home): "HOME", __version__: "VERSION"}.items():
            text = text.replace(old, new)
        return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def environment(home: Path, **variables: str) -> dict[str, str]:
    """An environment without settings, Google login, editor or colours of the person who runs the tests."""
    inherited = {k: v for k, v in clean_environment(home).items() if k not in _MORE and not k.startswith("CLOUDSDK_")}
    return {**inherited, "COLUMNS": "120", "TERM": "dumb", "LC_ALL": "C.UTF-8", **variables}


def run(*arguments: str, home: Path, input: str | None = None, obj: object = None, **variables: str) -> CommandResult:
    """Run a command in this process; ``home`` is its home and working directory.

    :param obj: what commands find as click's object, where they look for one.
    """
    from modelmux.cli.main import main

    with (
        mock.patch.dict(os.environ, environment(home, **variables), clear=True),
        mock.patch.object(Runtime, "today", return_value=TODAY),
        contextlib.chdir(home),
    ):
        result = CliRunner().invoke(main, list(arguments), input=input, prog_name="modelmux", obj=obj)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return CommandResult(arguments, result.exit_code, result.stdout, result.stderr, home)


def run_process(*arguments: str, home: Path, input: str = "", seconds: float = 50, **variables: str) -> CommandResult:
    """Run a command in a process of its own, for tests of signals, pipes and start-up."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "modelmux", *arguments],
        input=input, capture_output=True, text=True, timeout=seconds, cwd=home, check=False,
        env=environment(home, **variables),
    )  # fmt: skip
    return CommandResult(arguments, result.returncode, result.stdout, result.stderr, home)


def check_snapshot(name: str, *results: CommandResult, replace: Mapping[str, str] | None = None) -> None:
    """Compare with ``tests/unit/cli/snapshots/{name}.txt``.

    :param replace: further texts that differ between runs -> what the file has in their place.
    """
    file = SNAPSHOTS / f"{name}.txt"
    text = "\n".join(one.text(replace) for one in results)
    if os.environ.get(UPDATE):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    expected = file.read_text("utf-8") if file.exists() else f"{file} does not exist; {UPDATE}=1 writes it"
    assert text == expected, f"{UPDATE}=1 writes {file.name} anew:\n" + "".join(
        difflib.unified_diff(expected.splitlines(True), text.splitlines(True), "stored", "now")
    )
