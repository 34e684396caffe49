"""The pages for people who look for a message quote it as the program writes it.

In their tables, a code span in the column of messages is a quotation; "…" stands for what differs. Each part between
has to stand in the source: of the gateway, of the emulator, or of Google's messages that the emulator sends.
"""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.links import ROOT

#: Page -> headings of the columns that quote messages.
COLUMNS = {
    "troubleshooting.md": {"message", "message or symptom"},
    "google-setup.md": {"message", "without it, the gateway or `doctor` says"},
}
#: Quoted, but of another program.
OTHERS = {"command not found: modelmux"}


@cache
def corpus() -> str:
    """All strings of the source, those of a format string with a mark for each value."""
    texts = []
    for path in sorted((ROOT / "src" / "modelmux").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\x00" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def quotations(page: str) -> list[str]:
    """The code spans in the columns of messages."""
    found, column = [], -1
    for line in (ROOT / "docs" / page).read_text("utf-8").splitlines():
        if not line.startswith("|"):
            column = -1
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        headings = [index for index, cell in enumerate(cells) if cell in COLUMNS[page]]
        if headings:
            column = headings[0]
        elif column >= 0 and not set(line) <= set("|-: "):
            found += re.findall(r"`([^`]+)`", cells[column])
    return found


def parts(quotation: str) -> list[str]:
    """What has to stand in the source."""
    shown = quotation.removeprefix("error: ")
    return [part for part in (part.strip() for part in shown.split("…")) if len(part) > 1]


@pytest.mark.parametrize("page", COLUMNS)
def test_each_quoted_message_is_one_of_the_program(page: str) -> None:
    wrong = [
        quotation
        for quotation in quotations(page)
        if " " in quotation and quotation not in OTHERS
        if not all(part in corpus() for part in parts(quotation))
    ]
    assert wrong == []


@pytest.mark.parametrize(("page", "least"), [("troubleshooting.md", 35), ("google-setup.md", 10)])
def test_the_tables_are_read(page: str, least: int) -> None:
    assert len([text for text in quotations(page) if " " in text]) >= least


def test_messages_in_the_text_are_the_programs_too() -> None:
    text = re.sub(r"```.*?```", "", (ROOT / "docs" / "google-setup.md").read_text("utf-8"), flags=re.DOTALL)
    sentences = [span for span in re.findall(r"`([^`]+)`", text) if span.endswith(".") and " " in span]
    assert sentences
    assert [span for span in sentences if span not in corpus()] == []
