"""The README's "Sixty seconds" runs as it is printed, in a home of its own, and each client prints an answer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from support import clients
from support.codex import GREETING
from support.processes import Process


def block() -> str:
    """The commands, without those that install."""
    text = (clients.ROOT / "README.md").read_text("utf-8").partition("\n## Sixty seconds\n")[2]
    first = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert first is not None
    lines = first[1].splitlines()
    installs = [line for line in lines if "pip install " in line or line.startswith("npm install ")]
    assert len(installs) == 3
    return "\n".join(line for line in lines if line not in installs)


def test_every_client_answers(gateway: Process, tmp_path: Path) -> None:
    clients.needed(clients.CLAUDE_CODE, clients.CODEX)
    programs, work = tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    for name, path in (("claude", clients.CLAUDE_CODE), ("codex", clients.CODEX)):
        (programs / name).symlink_to(path)
    python = work / "hello" / "bin" / "python"  # has the package already
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    script = work / "commands.sh"
    script.write_text(block())
    variables = clients.environment(tmp_path)
    ended = subprocess.run(
        ["/bin/bash", "-eu", script],
        env=variables
        | {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{variables['PATH']}",
            "MODELMUX_SERVER_PORT": str(urlsplit(gateway.url).port),
        },
        cwd=work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=clients.SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(GREETING) == 4, ended.stdout + ended.stderr
