"""The one table of all operations: what is not here is not served."""

from __future__ import annotations

from typing import Any, Final

from modelmux.admin import (
    adjustments,
    audit,
    budgets,
    imports,
    keys,
    ledger,
    ledger_checks,
    limits,
    people,
    prices,
    requests,
    resolve,
    status,
    teams,
    usage,
)
from modelmux.admin.openapi import openapi
from modelmux.admin.operation import Call, Operation, Reply


async def _document(call: Call) -> Reply:
    del call
    return Reply(openapi(OPERATIONS))


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/openapi.json", "This document", "self.read", dict[str, Any], _document),
    *keys.OPERATIONS,
    *teams.OPERATIONS,
    *people.OPERATIONS,
    *budgets.OPERATIONS,
    *adjustments.OPERATIONS,
    *limits.OPERATIONS,
    *usage.OPERATIONS,
    *requests.OPERATIONS,
    *resolve.OPERATIONS,
    *ledger.OPERATIONS,
    *ledger_checks.OPERATIONS,
    *prices.OPERATIONS,
    *status.OPERATIONS,
    *audit.OPERATIONS,
    *imports.OPERATIONS,
)
