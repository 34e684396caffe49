from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.admin import Admin


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    admin = Admin(tmp_path)
    yield admin
    await admin.aclose()
