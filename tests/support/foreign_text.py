"""Text that would run on a page which does not escape it, and what shows that nothing of it does."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from support.dashboard import text_of

NASTY = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'><svg/onload=alert(1)>", "javascript:alert(1)",
    "{{7*7}}", "{% raw %}", "${7*7}", "</title><script>alert(1)</script>", "<!--", "&lt;script&gt;", "\u2028<b>",
]  # fmt: skip


def assert_harmless(html: str, text: str) -> None:
    """Elements are those of the templates, whatever text is in them."""
    parser = Elements()
    parser.feed(html)
    assert len(parser.scripts) == 1
    assert parser.scripts[0].startswith("/dashboard/static/app.js?v=")
    assert not parser.names & {"img", "b", "style", "iframe", "object", "base"}
    assert not [name for name in parser.attributes if name.startswith("on") or name == "style"]
    if "<" in text or '"' in text:
        assert text not in html
    assert not re.search(r"\b49\b", text_of(html)) or "7*7" not in text


class Elements(HTMLParser):
    """The elements of a page as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "script":
            self.scripts.append(dict(attrs).get("src") or "")
