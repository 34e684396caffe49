"""What each part of accounts takes.

Risk: a function has another name or another caller by now, so that its part shows nothing; or it stays replaced.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench import account_parts


@pytest.fixture
def usual_collection() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("usual_collection")
async def test_every_part_has_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_parts, "_BATCHES", 2)
    before = [getattr(part.owner, part.attribute) for part in account_parts._PARTS]
    figures = await account_parts._measure(tmp_path)
    assert len(figures) == len(account_parts._PARTS)
    assert all(cost > 0 for cost in figures.values()), figures
    assert [getattr(part.owner, part.attribute) for part in account_parts._PARTS] == before
