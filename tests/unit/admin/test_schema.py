"""What the OpenAPI document says is what the application does: any call that it allows, and calls that it does not."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from modelmux.admin.openapi import openapi
from modelmux.admin.operations import OPERATIONS
from support.admin import Admin, organisation

#: Calls without a token are those of test_operations.py. Not every value that has the right form can be used: zones may
#: be unknown.
_EXCLUDED = [ignored_auth, positive_data_acceptance]
HEADERS = {"authorization": "Bearer token-owner"}


class _Patient(Admin):
    """Its clock moves on, so that no call is one too many."""

    def _now(self) -> int:
        self.time += 1_000_000
        return self.time


@pytest.fixture(scope="module")
def admin() -> Iterator[Admin]:
    with tempfile.TemporaryDirectory() as folder:
        admin = _Patient(Path(folder))
        asyncio.run(organisation(admin))
        yield admin
        asyncio.run(admin.aclose())


def _operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(openapi(OPERATIONS))
    return [one.ok() for one in schema.get_all_operations()]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("operation", _operations(), ids=lambda one: one.label)
def test_the_document_is_kept(admin: Admin, operation: Any, mode: GenerationMode) -> None:
    operation.schema.app = admin.app

    @settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        # A parameter with such a value is not sent, so a call that has it may be valid.
        assume(not any(value in (None, [], {}) for value in (case.query or {}).values()))
        case.call_and_validate(headers=HEADERS, app=admin.app, excluded_checks=_EXCLUDED)

    check()
