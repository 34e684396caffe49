"""The hooks of mkdocs (``mkdocs.yml``): the pages outside ``docs/``, and links that lead out of the site.

The same Markdown is read on GitHub, where a page may link to any file of the repository. On the site, a link to a page
outside ``docs/`` leads to its copy, and a link to a source file becomes its text. Only this module knows of mkdocs,
which is installed for ``make docs-site`` alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
#: Page outside docs/ -> its name on the site.
OUTSIDE: Final = {
    "README.md": "index.md",
    "SECURITY.md": "SECURITY.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
#: A link or picture; before it, so that they stay as they are, code blocks and code spans.
_LINK: Final = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^(?P=fence)[ ]*$|(?<!!)(?<!\[)(?P<ticks>`+)(?!`)[^\n]+?(?<!`)(?P=ticks)(?!`)"
    r"|(!?)\[((?:[^][]|\[[^][]*\])*)\]\(([^()\s]+)\)",
    re.DOTALL | re.MULTILINE,
)


def rewrite(text: str, path: str) -> str:
    """A page with the links of the site.

    :param path: of the page in the repository, such as ``docs/clients/codex.md``.
    """
    here = posixpath.dirname(_on_site(path))

    def link(match: re.Match[str]) -> str:
        _, _, picture, shown, target = match.groups()
        if target is None or re.match(r"[a-z]+:|#", target):
            return match[0]
        file, _, anchor = target.partition("#")
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
        if wanted not in OUTSIDE and not wanted.startswith("docs/"):
            return shown
        relative = posixpath.relpath(_on_site(wanted), here or ".")
        return f"{picture}[{shown}]({relative}{'#' + anchor if anchor else ''})"

    return _LINK.sub(link, text)


def _on_site(path: str) -> str:
    """Where a file of the repository is on the site."""
    return OUTSIDE.get(path, path.removeprefix("docs/"))


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """mkdocs: add the pages outside ``docs/``."""
    from mkdocs.structure.files import File  # type: ignore[import-not-found,unused-ignore]

    for path, name in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """mkdocs: the links of a page."""
    name = page.file.src_uri
    return rewrite(markdown, next((path for path, copy in OUTSIDE.items() if copy == name), f"docs/{name}"))
