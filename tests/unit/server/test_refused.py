"""Risk: a refused request leaves nothing in the log, or a flood of them fills it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.errors import (
    CredentialsUnavailable,
    GatewayDraining,
    GatewayError,
    GatewayOverloaded,
    InvalidRequest,
    ModelNotFound,
    StoreUnavailable,
    Unauthorized,
)
from modelmux.server.refused import Refusal, RefusedRequests, report_error
from modelmux.telemetry.records import is_refusal
from support.clock import Clock
from support.log_lines import Lines

SCOPE: dict[str, Any] = {
    "method": "POST", "path": "/v1/odd", "client": ("192.0.2.7", 55001), "headers": [(b"user-agent", b"curl/8.5 x")],
}  # fmt: skip


def refusal(**changes: Any) -> Refusal:
    return Refusal.of(Unauthorized("no"), 401, {**SCOPE, **changes}, model="gpt-9", request_id="req_1")


def test_a_line_says_what_was_refused() -> None:
    log = Lines()
    RefusedRequests(log, Clock()).note(refusal())
    assert log.warnings == [
        ("request_refused", {
            "request_id": "req_1", "status": 401, "code": "invalid_api_key", "method": "POST", "path": "/v1/odd",
            "client": "192.0.2.7", "user_agent": "curl/8.5", "requested_model": "gpt-9",
            "key": "-",
        })
    ]  # fmt: skip


def test_a_line_names_the_virtual_key_by_its_id() -> None:
    log, error = Lines(), Unauthorized("no")
    error.key = "key_a"
    RefusedRequests(log, Clock()).note(Refusal.of(error, 401, SCOPE))
    assert log.warnings[0][1]["key"] == "key_a"


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"method": "BREW\r\n"}, {"method": "-"}),
        ({"method": None, "path": None}, {"method": "-", "path": "-"}),
        ({"path": "/" + "y" * 99}, {"path": "/" + "y" * 63}),
        ({"client": None}, {"client": "-"}),
        ({"client": ("", 0)}, {"client": "-"}),
        ({"client": ("2001:db8::1", 1)}, {"client": "2001:db8::1"}),
        ({"headers": []}, {"user_agent": "-"}),
        ({"headers": [(b"user-agent", b'"evil" x')]}, {"user_agent": "-"}),
    ],
)
def test_what_cannot_be_quoted_is_a_dash(changes: dict[str, Any], shown: dict[str, str]) -> None:
    log = Lines()
    RefusedRequests(log, Clock()).note(refusal(**changes))
    assert log.warnings[0][1].items() >= shown.items()


def test_a_served_path_is_shown_as_it_is_served() -> None:
    log = Lines()
    RefusedRequests(log, Clock()).note(refusal(path="/v1/item/secret"), {"/v1/item/secret": "/v1/item/{id}"}.get)
    assert log.warnings[0][1]["path"] == "/v1/item/{id}"


def test_an_error_without_a_code_has_the_name_of_its_kind() -> None:
    assert Refusal.of(InvalidRequest("no"), 400, SCOPE).code == "bad_request"


async def test_a_flood_is_ten_lines_and_a_number_of_the_rest() -> None:
    log, clock = Lines(), Clock()
    refused = RefusedRequests(log, clock)
    for _ in range(25):
        refused.note(refusal())
    assert len(log.warnings) == 10
    clock.advance(1.0)
    refused.note(refusal())
    assert len(log.warnings) == 11, "the number does not come with the next line: it would double them"
    refused.flush()
    assert [fields.get("dropped") for _, fields in log.warnings[10:]] == [None, 15]
    told = {"message": "15 more refused requests were not logged", "dropped": 15}
    assert log.warnings[11] == ("request_refused", told)
    refused.flush()
    assert len(log.warnings) == 12


async def test_the_number_is_logged_also_if_the_flood_just_ends() -> None:
    log, clock = Lines(), Clock()
    refused = RefusedRequests(log, clock)
    for _ in range(10):
        refused.note(refusal())
    clock.advance(0.98)
    refused.note(refusal())
    async with asyncio.timeout(100):
        while len(log.warnings) == 10:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
    assert log.warnings[10][1] == {"message": "1 more refused request was not logged", "dropped": 1}


def test_an_event_loop_that_has_ended_does_not_keep_the_number_from_the_log() -> None:
    log, clock = Lines(), Clock()
    refused = RefusedRequests(log, clock)

    async def flood() -> None:
        for _ in range(11):
            refused.note(refusal())

    async def wait_for_the_number() -> None:
        await flood()
        async with asyncio.timeout(100):
            while "dropped" not in log.warnings[-1][1]:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.005)

    asyncio.run(flood())
    clock.advance(0.99)
    asyncio.run(wait_for_the_number())
    assert log.warnings[-1][1] == {"message": "12 more refused requests were not logged", "dropped": 12}


async def test_the_end_of_the_process_does_not_lose_the_number() -> None:
    log = Lines()
    refused = RefusedRequests(log, Clock())
    for _ in range(12):
        refused.note(refusal())
    refused.flush()
    refused.flush()
    assert [fields["dropped"] for _, fields in log.warnings[10:]] == [2]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unauthorized("no"), True),
        (ModelNotFound("no"), True),
        (GatewayOverloaded("full"), True),
        (StoreUnavailable("gone"), True),
        (GatewayDraining("ending"), False),
        (CredentialsUnavailable("none"), False),
        (GatewayError("failed"), False),
    ],
)
def test_only_what_the_gateway_itself_refuses(error: GatewayError, expected: bool) -> None:
    assert is_refusal(error) is expected


def test_an_application_that_is_no_gateway_is_not_told() -> None:
    report_error(object(), InvalidRequest("no"), SCOPE)
