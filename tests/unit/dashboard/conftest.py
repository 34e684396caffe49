from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.dashboard import Browser


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """Somebody who has not signed in."""
    browser = Browser(tmp_path)
    yield browser
    await browser.admin.aclose()
