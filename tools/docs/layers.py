"""The picture of the layers in ``docs/architecture.md``, made from the import contract in ``pyproject.toml``.

``python -m tools.docs.layers`` renews it in place; a test compares the two.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "architecture.md"
_BLOCK: Final = re.compile(r"(?<=<!-- layers -->\n).*?(?=<!-- /layers -->)", re.DOTALL)
#: What each package is for, in a few words.
PURPOSES: Final = {
    "cli": "commands",
    "emulator": "an offline Vertex AI; imports only wire and catalog",
    "process": "server, drain, reload, workers",
    "app": "builds a gateway from a configuration",
    "server": "HTTP in: paths, keys, bodies, responses",
    "dashboard": "pages for people over the admin API",
    "admin": "admin API, and sessions of the dashboard",
    "gateway": "the life cycle of a request",
    "upstream": "HTTP out: connections, Google tokens, downloads",
    "store": "state behind small protocols",
    "telemetry": "logs, metrics, records",
    "config": "settings and where they come from",
    "providers": "what upstreams speak",
    "routing": "name to deployment; retry or stop",
    "accounts": "keys, budgets, limits",
    "dialects": "what clients speak",
    "claude": "a legal Messages request for one model",
    "catalog": "facts about models and locations",
    "wire": "bytes to structs and back",
    "errors": "every way to fail",
    "runtime": "clock, sleep, random numbers, ids",
    "version": "the version",
    "error_kinds": "the table of error kinds",
}


def layers() -> list[list[str]]:
    """The packages of each layer, the highest first, as far as they exist."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    contract = next(each for each in contracts if each["type"] == "layers")
    names = ([part.strip(" ()").removeprefix("modelmux.") for part in line.split("|")] for line in contract["layers"])
    present = [[name for name in layer if _exists(name)] for layer in names]
    return [layer for layer in present if layer]


def _exists(name: str) -> bool:
    path = ROOT / "src" / "modelmux" / name
    return path.is_dir() or path.with_suffix(".py").is_file()


def render() -> str:
    """The picture as a Markdown code block."""
    drawn = layers()
    rows = [[f" {name:<12} {PURPOSES[name]}" for name in layer] for layer in drawn]
    width = 1 + max(len(row) for layer in rows for row in layer)
    bodies = ["\n".join(f"│{row:<{width}}│" for row in layer) for layer in rows]
    frame = "─" * width
    picture = f"┌{frame}┐\n" + f"\n├{frame}┤\n".join(bodies) + f"\n└{frame}┘\n"
    return f"```text\n{picture}```\n"


def current() -> str:
    """The picture that the page has now."""
    match = _BLOCK.search(PAGE.read_text("utf-8"))
    assert match is not None, f"{PAGE} has no <!-- layers --> block"
    return match[0]


if __name__ == "__main__":
    PAGE.write_text(_BLOCK.sub(lambda _: render(), PAGE.read_text("utf-8")), "utf-8")
