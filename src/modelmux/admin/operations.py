"""The one table of all operations: what is not here is not served."""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec
from msgspec import Raw

from modelmux.admin import (
    adjustments,
    audit,
    budgets,
    cache_savings,
    counters,
    deployments,
    imports,
    keys,
    ledger,
    ledger_checks,
    limits,
    live,
    people,
    prices,
    records,
    requests,
    resolve,
    settings,
    status,
    teams,
    traces,
    usage,
    webhooks,
)
from modelmux.admin.openapi import openapi
from modelmux.admin.operation import Call, Operation, Reply


async def _document(call: Call) -> Reply:
    del call
    return Reply(_document_json())


@functools.cache  # it is the same for as long as the process runs
def _document_json() -> Raw:
    return Raw(msgspec.json.encode(openapi(OPERATIONS)))


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/openapi.json", "This document", "self.read", dict[str, Any], _document, without_accounts=True),
    *keys.OPERATIONS,
    *teams.OPERATIONS,
    *people.OPERATIONS,
    *budgets.OPERATIONS,
    *adjustments.OPERATIONS,
    *limits.OPERATIONS,
    *usage.OPERATIONS,
    *cache_savings.OPERATIONS,
    *live.OPERATIONS,
    *requests.OPERATIONS,
    *traces.OPERATIONS,
    *records.OPERATIONS,
    *resolve.OPERATIONS,
    *ledger.OPERATIONS,
    *ledger_checks.OPERATIONS,
    *prices.OPERATIONS,
    *status.OPERATIONS,
    *counters.OPERATIONS,
    *deployments.OPERATIONS,
    *settings.OPERATIONS,
    *audit.OPERATIONS,
    *webhooks.OPERATIONS,
    *imports.OPERATIONS,
)
