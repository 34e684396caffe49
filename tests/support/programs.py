"""The programs of docs/clients, run against a gateway."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from modelmux.dialects.registry import SURFACES
from support import clients

PAGES = clients.ROOT / "docs" / "clients"
_PROGRAM = re.compile(
    r"<!-- (?:connect|program) ([\w-]+) (\w+)(?: ([\w-]+))? -->\n```(python|javascript)\n(.*?)```", re.DOTALL
)
#: API -> part of a path that serves it.
_PATHS = {
    "chat": "/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "vertex": ":rawPredict",
}


class Program(NamedTuple):
    """:param example: what a program shows that is only on its page; empty for one that ``connect`` prints."""

    name: str
    api: str
    example: str
    language: str
    code: str

    def __str__(self) -> str:
        return "-".join(filter(None, (self.name, self.api, self.example)))


def programs() -> list[Program]:
    """All programs of the pages."""
    return [
        Program(*match) for page in sorted(PAGES.glob("*.md")) for match in _PROGRAM.findall(page.read_text("utf-8"))
    ]


def is_served(api: str) -> bool:
    """Whether the gateway has the paths of an API."""
    return any(_PATHS[api] in surface.path for surface in SURFACES)


def counts_tokens() -> bool:
    """Whether the gateway has the paths that count tokens."""
    return any("count" in surface.path for surface in SURFACES)


def run_program(program: Program, interpreter: Path, url: str, home: Path) -> str:
    """What the program prints when it talks to the gateway at ``url``. Its prompt is that of the page.

    JavaScript runs from the folder that has its packages.
    """
    code = program.code.replace("http://127.0.0.1:3000", url)
    assert url in code
    suffix = ".py" if program.language == "python" else ".mjs"
    folder = home if suffix == ".py" else clients.MODULES.parent
    script = folder / f".documented-{program}{suffix}"
    script.write_text(code)
    try:
        ended = subprocess.run(
            [interpreter, script],
            env=clients.environment(home) | {"MODELMUX_KEY": "sk-anything", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=clients.SECONDS, check=False,
        )  # fmt: skip
    finally:
        script.unlink()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()
