"""The ledger that calls of the admin API read: that of the process, or one that is open for the call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelmux.admin.operation import Call
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.open_ledger import open_ledger


@asynccontextmanager
async def ledger_of(call: Call) -> AsyncIterator[Ledger]:
    """:raises StoreFailed: :raises ConfigError:"""
    backend = call.backend
    if backend.ledger is not None:
        yield backend.ledger
        return
    ledger = open_ledger(backend.config)
    try:
        yield ledger
    finally:
        await ledger.aclose()
