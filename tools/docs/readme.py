"""The parts of the README that are taken from other pages: what it costs, and the table of clients.

``python -m tools.docs.readme`` renews them in place. The figures are those of ``docs/benchmarks.md``, which
``python -m bench publish`` writes.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Final

from modelmux.cli.connect.table import API_TITLES, clients

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"
BENCHMARKS: Final = ROOT / "docs" / "benchmarks.md"
#: Row of the published table -> what the README calls it.
ROWS: Final = {
    "unary, 1 kB": "a small request",
    "unary, 47 kB prompt": "a request of an agent, with a 47 kB prompt",
    "stream of 100 deltas": "a stream of 100 events",
}
#: Clients of the README's table, in the order of `modelmux connect`, which knows more, as docs/clients does.
CLIENTS: Final = frozenset({
    "claude-code", "codex", "opencode", "aider", "cline", "cursor", "zed", "jetbrains", "open-webui", "librechat",
    "openai-python", "anthropic-python", "openai-agents", "langchain", "llama-index", "ai-sdk",
})  # fmt: skip


def published() -> tuple[list[str], dict[str, list[str]]]:
    """The head of the published table, and its rows by name."""
    block = re.search(r"<!-- bench -->\n(.*?)<!-- /bench -->", BENCHMARKS.read_text("utf-8"), re.DOTALL)
    if block is None:
        raise ValueError("docs/benchmarks.md has no markers <!-- bench -->")
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in block[1].splitlines() if row[:1] == "|"]
    return rows[0], {row[0]: row for row in rows[2:]}


def cost() -> str:
    """CPU of three kinds of request, by gateway."""
    head, rows = published()
    columns = [index for index, name in enumerate(head) if name and name not in ("unit", "ModelMux : nginx")]
    lines = [
        "| CPU microseconds | " + " | ".join(head[index] for index in columns) + " |",
        "|---|" + "--:|" * len(columns),
    ]
    lines += [f"| {title} | {' | '.join(rows[name][index] for index in columns)} |" for name, title in ROWS.items()]
    return "\n".join([*lines, ""])


def connect() -> str:
    """A line for each of the best-known clients."""
    table = clients()
    lines = ["| client | one line | it speaks |", "|---|---|---|"]
    for name in (name for name in table.names if name in CLIENTS):
        modes = table.modes(name)
        file = modes[0].file
        writes = file is not None and not file.write
        command = f"modelmux connect {name} --write" if writes else f"modelmux connect {name}"
        apis = ", ".join(API_TITLES[mode.api] for mode in modes)
        lines.append(f"| [{modes[0].title}](docs/clients/{modes[0].page}) | `{command}` | {apis} |")
    return "\n".join([*lines, ""])


def renew(page: str) -> str:
    """The README with both blocks rendered anew.

    :raises ValueError: it does not have the markers.
    """
    for name, block in (("cost", cost()), ("connect", connect())):
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(page):
            raise ValueError(f"the README has no markers <!-- {name} -->")
        page = pattern.sub(partial(_with_block, block), page)
    return page


def _with_block(block: str, match: re.Match[str]) -> str:
    return f"{match[1]}{block}{match[2]}"


if __name__ == "__main__":
    README.write_text(renew(README.read_text("utf-8")), "utf-8")
