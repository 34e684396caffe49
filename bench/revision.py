"""Another revision of this repository, checked out and installed in a temporary folder."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class RevisionError(Exception):
    """The revision could not be checked out or installed. The message says why, and what to do."""


@dataclass(frozen=True)
class Revision:
    """An installed revision.

    :param name: as the user wrote it, with the commit.
    :param python: the interpreter of its environment.
    """

    name: str
    python: str


@contextlib.contextmanager
def installed(root: Path, revision: str) -> Iterator[Revision]:
    """A revision in its own git worktree and virtual environment; both are removed at the end, whatever happens.

    :raises RevisionError: git or pip failed.
    """
    commit = _output("git", "-C", str(root), "rev-parse", "--short", "--verify", "--end-of-options",
                     f"{revision}^{{commit}}", hint="name a commit, branch or tag of this repository")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="modelmux-compare-") as folder:
        tree, environment = Path(folder, "tree"), Path(folder, "venv")
        try:
            _output("git", "-C", str(root), "worktree", "add", "--quiet", "--detach", str(tree), commit)
            python = _install(tree, environment)
            yield Revision(commit if commit.startswith(revision) else f"{revision} ({commit})", python)
        finally:
            _remove_worktree(root, tree)


def _install(tree: Path, environment: Path) -> str:
    """:returns: the interpreter of the new environment."""
    _output(sys.executable, "-m", "venv", str(environment))
    python = str(environment / "bin" / "python")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    hint = "its locked dependencies have to be installable with this Python"
    _output(*pip, "--require-hashes", "-r", str(tree / "requirements" / "run.lock"), hint=hint)
    _output(*pip, "--editable", str(tree), hint=hint)
    module = _output(python, "-P", "-c", "import modelmux; print(modelmux.__file__)")
    if not Path(module).resolve().is_relative_to(tree.resolve()):
        raise RevisionError(f"error: the environment imports {module}\nhint: unset PYTHONPATH")
    return python


def _remove_worktree(root: Path, tree: Path) -> None:
    # A second Ctrl-C must not leave the worktree registered.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        command = ["git", "-C", str(root), "worktree", "remove", "--force", str(tree)]
        subprocess.run(command, capture_output=True, check=False)
    finally:
        signal.signal(signal.SIGINT, previous)


def _output(*command: str, hint: str = "the message above is from the command") -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        message = result.stderr.strip()[-1000:] or f"exit status {result.returncode}"
        raise RevisionError(f"error: {' '.join(command)}: {message}\nhint: {hint}")
    return result.stdout.strip()
