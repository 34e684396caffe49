from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.admin_server import AdminServer, admin_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AdminServer]:
    (tmp_path / "there").mkdir()
    with admin_server(tmp_path / "there") as one:
        yield one


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a person on another machine, who has no configuration."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"
