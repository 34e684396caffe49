"""The pages about the code: the picture of the layers shows the import contract, and every file they name exists."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.layers import PURPOSES, ROOT, current, layers, render

PAGES = [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "adr").glob("*.md"))]
#: A code span with a path: it has a folder, or ends in ``.py``.
_PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.py)`")
#: ADRs that describe files as they were.
_HISTORY = {"0022-what-changed-in-the-tests.md"}


def test_the_picture_is_the_import_contract() -> None:
    assert current() == render(), "run `make docs`"


def test_every_layer_has_a_purpose() -> None:
    assert {name for layer in layers() for name in layer} <= set(PURPOSES)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in _HISTORY], ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    bases = ROOT, ROOT / "docs", ROOT / "src", ROOT / "src" / "modelmux"
    paths = _PATH.findall(page.read_text("utf-8"))
    assert [path for path in paths if not any((base / path).exists() for base in bases)] == []
