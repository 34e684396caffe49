"""Other people's clients as processes: where they are installed, and how one is run without a network.

``make clients`` installs them. Without that, tests that need them are skipped, or fail where MODELMUX_REQUIRE_CLIENTS
says that they have to be there.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.pictures import data_url, png

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "e2e" / "clients"
MODULES = SCRIPTS / "node" / "node_modules"
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
PYTHON_LITELLM = ROOT / ".venv-clients-litellm" / "bin" / "python"
PYTHON_STRANDS = ROOT / ".venv-clients-strands" / "bin" / "python"
NODE = ROOT / ".venv-clients" / "bin" / "node"
OPENCODE = MODULES / "opencode-linux-x64-baseline" / "bin" / "opencode"
CLAUDE_CODE = MODULES / "@anthropic-ai" / "claude-code-linux-x64" / "claude"
CODEX = MODULES / "@openai" / "codex-linux-x64" / "vendor" / "x86_64-unknown-linux-musl" / "bin" / "codex"
PICTURE = png()
#: Far above what any of them takes, even on a busy machine.
SECONDS = 250


def needed(*files: Path) -> None:
    """Skip the test, or fail it where clients have to be there, unless all of ``files`` exist."""
    absent = [file.relative_to(ROOT) for file in files if not file.exists()]
    if not absent:
        return
    reason = f"{absent[0]} is not there; `make clients` installs it"
    if os.environ.get("MODELMUX_REQUIRE_CLIENTS"):
        pytest.fail(reason)
    pytest.skip(reason)


def environment(home: Path) -> dict[str, str]:
    """Nothing of this process but its PATH; whatever does not go to loopback meets a closed door."""
    closed = "http://127.0.0.1:9"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "HTTP_PROXY": closed,
        "HTTPS_PROXY": closed,
        "NO_PROXY": "127.0.0.1",
        "NODE_USE_ENV_PROXY": "1",
    }


def run_script(
    interpreter: Path, script: Path, url: str, models: list[str], home: Path, **variables: str
) -> dict[str, Any]:
    """Run all cases of a script against the gateway at ``url``; what came of each, by ``"case model"``.

    :param variables: more of its environment.
    """
    needed(interpreter, *([MODULES / "ai"] if script.suffix == ".mjs" else []))
    result = home / "result.json"
    ended = subprocess.run(
        [interpreter, script, result, *models],
        env=environment(home)
        | {
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_KEY": "sk-anything",
            "CLIENTS_PICTURE": data_url(PICTURE),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            **variables,
        },
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    outcomes: dict[str, Any] = json.loads(result.read_text())
    return outcomes
