"""The docs site has every page once, its links stay inside it, and ``llms.txt`` lists the same pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.links import ROOT, pages
from tools.docs.llms import FILE, nav, render, source, summary, title
from tools.docs.site import OUTSIDE, rewrite

DOCS = ROOT / "docs"


def listed() -> list[str]:
    return [page for section in nav().values() for page in section]


def test_every_page_is_on_the_site_once() -> None:
    inside = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if not re.match(r"0\d+", page.name)}
    assert len(listed()) == len(set(listed()))
    assert set(listed()) == inside | set(OUTSIDE.values())


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_the_site_stay_on_it(page: Path) -> None:
    path = page.relative_to(ROOT).as_posix()
    folder = Path(OUTSIDE.get(path, path.removeprefix("docs/"))).parent
    copies = {DOCS / name for name in OUTSIDE.values()}
    for target in re.findall(
        r"\]\(([^()\s]+)\)", re.sub(r"```.*?```", "", rewrite(page.read_text("utf-8"), path), flags=re.DOTALL)
    ):
        if not re.match(r"[a-z]+:|#", target):
            file = (DOCS / folder / target.partition("#")[0]).resolve()
            assert file in copies or file.exists(), target
            assert file.is_relative_to(DOCS), target


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("README.md", "[a](docs/cli.md#x) ![b](docs/images/b.svg)", "[a](cli.md#x) ![b](images/b.svg)"),
        (
            "docs/clients/codex.md",
            "[a](../cli.md) [b](../../README.md#install)",
            "[a](../cli.md) [b](../index.md#install)",
        ),
        ("docs/lessons.md", "[test](../tests/a.py), [`b`](../src/b.py)", "test, `b`"),
        ("SECURITY.md", "[a](docs/cli.md) [b](https://x) [c](#d)", "[a](cli.md) [b](https://x) [c](#d)"),
        ("docs/cli.md", "`[a](../b.py)`\n```\n[c](../d.py)\n```\n", "`[a](../b.py)`\n```\n[c](../d.py)\n```\n"),
    ],
)
def test_a_link_is_rewritten_for_the_site(path: str, text: str, expected: str) -> None:
    assert rewrite(text, path) == expected


def test_llms_txt_is_what_the_pages_say() -> None:
    assert FILE.read_text("utf-8") == render(), "run `make docs`"
    for page in listed():
        assert f"]({source(page).relative_to(ROOT).as_posix()})" in render()


def test_a_page_is_summed_up_by_its_first_sentence() -> None:
    text = "# Title\n\n```\nCode.\n```\n\nIn short:\n\nIt [does](x.md)\n**this**. And that.\n"
    assert title(text) == "Title"
    assert summary(text) == "It does this."
    assert summary("# Title\n\n| a |\n|---|\n\nLater.") == ""


def test_a_client_is_summed_up_by_what_was_tested() -> None:
    text = (
        "# Title\n\n<!-- tried x -->\n**Tested** with x 1.2.3: this, that ([a](b)).\nMore.\n<!-- /tried -->\n\nText.\n"
    )
    assert summary(text) == "Tested with x 1.2.3: this, that."
