"""``llms.txt``: the pages of the documentation for language models (https://llmstxt.org), in the order of the site.

``python -m tools.docs.llms`` writes it. Each line is a page with its title and the first sentence of its text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
FILE: Final = ROOT / "llms.txt"
MKDOCS: Final = ROOT / "mkdocs.yml"
_HEAD: Final = """\
# ModelMux

> A gateway in Python: OpenAI's Chat Completions and Responses, Anthropic's Messages and Vertex AI's own paths in
> front, Claude on Google Cloud Vertex AI behind. Clients need another base URL and a key, nothing else.

Base URL of OpenAI's clients: http://127.0.0.1:3000/v1, of Anthropic's: http://127.0.0.1:3000. `modelmux demo` runs it
offline, `modelmux config init` and `modelmux doctor --live` set it up, `modelmux connect CLIENT` prints what to set in
a client. The paths below are those of the repository.
"""


class _Loader(yaml.SafeLoader):
    """mkdocs.yml names Python functions, which are of no interest here."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda _loader, _suffix, _node: None)


def nav() -> dict[str, list[str]]:
    """Section of the site -> its pages, relative to ``docs/``."""
    config: dict[str, Any] = yaml.load(MKDOCS.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    return {title: pages for section in config["nav"] for title, pages in section.items()}


def source(page: str) -> Path:
    """The file of a page of the site."""
    if page == "index.md":
        return ROOT / "README.md"
    inside = ROOT / "docs" / page
    return inside if inside.exists() else ROOT / page


def title(text: str) -> str:
    """The heading of a page."""
    return text.partition("\n")[0].removeprefix("# ").strip()


def summary(text: str) -> str:
    """How a client was tried, or the first sentence of a page; nothing where a table or list comes first."""
    tried = re.search(r"<!-- tried [\w-]+ -->\n(.+?)<!-- /tried -->", text, re.DOTALL)
    if tried is not None:
        return _plain(tried[1].splitlines()[0]).partition(" (")[0].rstrip(".") + "."
    text = re.sub(r"^```.*?^```$", "", text.partition("\n")[2], flags=re.DOTALL | re.MULTILINE)
    for paragraph in re.split(r"\n{2,}", text.strip()):
        if paragraph.startswith(("#", "|", "- ")):
            break
        first = re.split(r"(?<=[.?!:])\s", _plain(paragraph))[0]
        if re.match(r"[A-Z`]", first) and not first.endswith(":"):
            return first
    return ""


def _plain(text: str) -> str:
    """Without links and emphasis."""
    return re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", " ".join(text.split())).replace("**", "")


def render() -> str:
    """The whole file."""
    parts = [_HEAD]
    for section, pages in nav().items():
        lines = []
        for page in pages:
            path = source(page)
            text = path.read_text("utf-8")
            described = f": {summary(text)}" if summary(text) else ""
            lines.append(f"- [{title(text)}]({path.relative_to(ROOT).as_posix()}){described}\n")
        parts.append(f"\n## {section}\n\n{''.join(lines)}")
    return "".join(parts)


if __name__ == "__main__":
    FILE.write_text(render(), "utf-8")
