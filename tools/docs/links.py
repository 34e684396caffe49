"""Links between the Markdown pages, as GitHub and the docs site resolve them.

``python -m tools.docs.links`` prints those that lead nowhere.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote

ROOT: Final = Path(__file__).resolve().parents[2]
_CODE: Final = re.compile(r"^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^(?P=fence)[ ]*$", re.DOTALL | re.MULTILINE)
_SPAN: Final = re.compile(r"(?<!`)(`+)(?!`)(?:.+?)(?<!`)\1(?!`)")
_LINK: Final = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)")
_HEADING: Final = re.compile(r"^#{1,6}[ ]+(.+?)[ ]*#*$", re.MULTILINE)


def pages() -> list[Path]:
    """Every page for people."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def targets(text: str) -> list[str]:
    """What the links and pictures of a page lead to."""
    return _LINK.findall(_SPAN.sub("", _CODE.sub("", text)))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, by GitHub's rule: the second one of a name gets ``-1``."""
    seen: dict[str, int] = {}
    result = set()
    for heading in _HEADING.findall(_CODE.sub("", page.read_text("utf-8"))):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        result.add(f"{slug}-{number}" if number else slug)
    return frozenset(result)


def broken(page: Path) -> list[str]:
    """The links of a page to files or headings that do not exist."""
    return [target for target in targets(page.read_text("utf-8")) if not _leads_somewhere(page, target)]


def _leads_somewhere(page: Path, target: str) -> bool:
    if re.match(r"[a-z][a-z+.-]*:", target):
        return target.startswith(("https://", "http://", "mailto:"))
    path, _, anchor = unquote(target).partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists() or not file.is_relative_to(ROOT):
        return False
    return not anchor or file.suffix != ".md" or anchor in anchors(file)


if __name__ == "__main__":
    problems = [f"{page.relative_to(ROOT)}: {target}" for page in pages() for target in broken(page)]
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    sys.exit(bool(problems))
