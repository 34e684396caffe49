"""Risk: an expiring Google token stalls every request at once, or the event loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from modelmux.upstream.google_auth.loaders import service_account_info
from modelmux.upstream.google_auth.tokens import GoogleTokens
from support.credentials_env import clean_environment
from support.token_endpoint import TokenEndpoint


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    clean_environment(monkeypatch, tmp_path)
    with TokenEndpoint() as running:
        yield running


async def test_g1_an_expiry_under_load_costs_one_refresh(google: TokenEndpoint) -> None:
    source = GoogleTokens(service_account_info(google.service_account()))
    google.latency = 0.1
    assert len(set(await asyncio.gather(*(source.token() for _ in range(500))))) == 1
    old = await source.token()
    assert len(set(await asyncio.gather(*(source.renew(old) for _ in range(500))))) == 1
    await source.aclose()
    assert len(google.issued) == 2


async def test_g2_a_refresh_does_not_block_the_event_loop(google: TokenEndpoint) -> None:
    source, google.latency = GoogleTokens(service_account_info(google.service_account())), 0.3
    waiting, ticks = asyncio.create_task(source.token()), 0
    while not waiting.done():
        await asyncio.sleep(0.005)
        ticks += 1
    await source.aclose()
    assert ticks > 2, "the event loop was blocked while the token was fetched"
    assert threading.current_thread() is threading.main_thread()
