"""Every link between the pages leads to a file, and to a heading where it names one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.links import ROOT, anchors, broken, pages, targets


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_links_in_code_are_text() -> None:
    assert targets("[a](b.md) `[c](d.md)`\n```\n[e](f.md)\n```\n![g](h.svg) [i](j_(k).md)") == [
        "b.md",
        "h.svg",
        "j_(k).md",
    ]


def test_a_missing_file_and_a_missing_heading_are_seen(tmp_path: Path) -> None:
    page = ROOT / "docs" / "cli.md"
    assert "modelmux-connect" in anchors(page)
    assert "exit-codes-that-are-not-there" not in anchors(page)
    other = tmp_path / "page.md"
    other.write_text("# One\n## Two [three](x)!\n## One\n[a](#one-1) [b](#two-three) [c](#four) [d](ftp://x)")
    assert broken(other)[-1] == "ftp://x"
    assert "#four" in broken(other)
