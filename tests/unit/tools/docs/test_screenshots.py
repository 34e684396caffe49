"""The pictures of the dashboard. Risk: a page of the documentation shows one that is missing, or is of no page."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs import demo_organisation
from tools.docs.screenshots import IMAGES, MAX_BYTES, PICTURES, ROOT, SCHEMES, WIDTH, file_of

from modelmux.dashboard.page import ROOT as DASHBOARD
from modelmux.dashboard.pages import PAGES

ALL = {file_of(one.name, scheme).name: one for one in PICTURES for scheme in SCHEMES}
NOW = 1_795_953_600_000_000


def named() -> set[str]:
    """The pictures that pages of the documentation show."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return {name for page in pages for name in re.findall(r"images/(dashboard-[^\s\"#)]+)", page.read_text("utf-8"))}


def test_each_picture_is_there_small_and_shown() -> None:
    assert named() == set(ALL)
    assert {file.name for file in IMAGES.glob("dashboard-*")} == set(ALL)
    for name, picture in ALL.items():
        content = (IMAGES / name).read_bytes()
        assert content.startswith(b"\x89PNG"), name
        assert len(content) <= MAX_BYTES, name
        assert struct.unpack(">II", content[16:24]) == (WIDTH, picture.height), name


def test_each_picture_is_of_a_page() -> None:
    patterns = [re.sub(r"\{[a-z_]+\}", "[^/]+", page.path) for page in PAGES]
    for picture in PICTURES:
        path = f"{DASHBOARD}{picture.path}".format(request="req_1")
        assert any(re.fullmatch(pattern, path) for pattern in patterns), picture


def test_the_organisation_follows_from_its_seed_and_spends_what_its_budgets_say() -> None:
    made: list[tuple[str, str, object]] = []

    def call(method: str, path: str, body: dict[str, object]) -> dict[str, object]:
        made.append((method, path, body))
        return {"id": f"{path[1:]}_{len(made)}"}

    ids = demo_organisation.create(call, NOW)
    rows = demo_organisation.requests(ids, NOW)
    assert rows == demo_organisation.requests(ids, NOW)
    assert all(row.at <= NOW for row in rows)
    assert len({row.id for row in rows}) == len(rows) > 1_000
    charged = demo_organisation.budgets(call, ids, rows, NOW)
    for number, one in enumerate(demo_organisation.ALLOWANCES):
        body = made[len(made) - len(demo_organisation.ALLOWANCES) + number][2]
        assert isinstance(body, dict)
        id = f"budgets_{len(made) - len(demo_organisation.ALLOWANCES) + number + 1}"
        spent = sum(amount for row in charged for window, amount in row.debits if window.budget == id)
        assert spent / 1e9 / int(body["limit"]) == pytest.approx(one.used, abs=0.1), one
