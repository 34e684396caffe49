"""Risk: an error without its row, a row that nothing uses, a status or type that the official SDKs do not know, an
accidental change of what is retried."""

from __future__ import annotations

import http
import inspect
from typing import Any, get_args

import anthropic
import httpx2
import openai
import pytest
from anthropic.types.shared.error_type import ErrorType

from modelmux import errors
from modelmux.error_kinds import KINDS, ErrorKind
from modelmux.errors import GatewayError, UpstreamRefused, UpstreamReply, UpstreamTimeout
from modelmux.providers.vertex_claude.errors import UPSTREAM_KINDS

#: Made by ``routing/quota.py``.
OTHER = {"quota_zero"}
#: Types that the Messages API sends; the SDK's list lacks the one of 413 (its documentation has it).
ANTHROPIC_TYPES = {*get_args(ErrorType), "request_too_large"}
#: Types of refusals that only gateways make. The SDKs go by their statuses.
GATEWAY_TYPES = {"policy_blocked", "not_supported"}
#: Types that OpenAI's API sends.
OPENAI_TYPES = {
    "invalid_request_error", "authentication_error", "permission_error", "insufficient_quota", "rate_limit_error",
    "server_error",
}  # fmt: skip
CLASSES: list[type[GatewayError]] = [
    cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, GatewayError)
]


def kinds_of(cls: type[GatewayError]) -> set[str]:
    """The kinds that instances of a class may have."""
    if cls is UpstreamRefused:
        return {*UPSTREAM_KINDS, *OTHER}
    if cls is UpstreamTimeout:
        clocks = ("connect", "pool", "send", "first_byte", "first_token", "idle", "total")
        return {UpstreamTimeout("late", clock=clock).kind.name for clock in clocks}
    return {cls.kind.name}


def test_every_error_has_a_kind_of_its_own() -> None:
    own = {cls: vars(cls).get("kind") for cls in CLASSES if cls not in (UpstreamRefused, UpstreamTimeout)}
    shared = {cls.__name__ for cls, kind in own.items() if kind is None}
    assert shared == {"InvalidRequest"}, "it is the plain case of RequestError"
    names = [kind.name for kind in own.values() if kind is not None]
    assert len(set(names)) == len(names)


def test_every_kind_is_used_and_every_used_kind_exists() -> None:
    used = set().union(*map(kinds_of, CLASSES))
    assert used == set(KINDS)
    assert all(kind.name == name for name, kind in KINDS.items())


def test_an_error_is_what_its_kind_says() -> None:
    for kind in KINDS.values():
        error = UpstreamRefused("", kind, UpstreamReply(kind.status))
        assert (error.status, error.type, error.code) == (kind.status, kind.openai_type, kind.openai_code)
        assert error.should_retry == kind.should_retry
        assert error.loggable_message == (None if kind.quotes_request else error.message)
        assert error.hint == kind.remedy


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_statuses_and_types_are_those_of_the_sdks(kind: ErrorKind) -> None:
    assert kind.status in {status.value for status in http.HTTPStatus}
    assert kind.anthropic_type in ANTHROPIC_TYPES | GATEWAY_TYPES
    assert kind.openai_type in OPENAI_TYPES
    assert isinstance(sdk_error(openai.OpenAI(api_key="x"), kind.status), getattr(openai, name_of(kind.status)))
    status = kind.anthropic_status or kind.status
    assert isinstance(sdk_error(anthropic.Anthropic(api_key="x"), status), getattr(anthropic, name_of(status)))


def name_of(status: int) -> str:
    """The name of an SDK's exception for a status."""
    return {
        400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError", 404: "NotFoundError",
        409: "ConflictError", 429: "RateLimitError",
    }.get(status, "InternalServerError" if status >= 500 else "APIStatusError")  # fmt: skip


def sdk_error(client: Any, status: int) -> Exception:
    """What an SDK raises for a status."""
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://h"), json={})
    error: Exception = client._make_status_error("", body={}, response=response)
    return error


def test_types_agree_with_the_status() -> None:
    for kind in KINDS.values():
        if kind.openai_type == "server_error":
            assert kind.status >= 500
        else:
            assert 400 <= kind.status < 500
        status = kind.anthropic_status or kind.status
        is_servers = kind.anthropic_type in ("api_error", "overloaded_error", "timeout_error", "not_supported")
        assert is_servers == (status >= 500)


def test_what_the_operator_has_to_fix_is_not_retried_by_clients() -> None:
    for kind in KINDS.values():
        if kind.remedy is not None and "operator" in kind.remedy:
            assert kind.should_retry is False, kind.name


#: Name -> retry, and whether the deployment is to blame.
DECISIONS = {
    "bad_request": ("no", False), "unauthorized": ("no", False), "model_not_found": ("no", False),
    "endpoint_not_found": ("no", False), "method_not_allowed": ("no", False), "request_timeout": ("no", False),
    "payload_too_large": ("no", False), "unsupported_media_type": ("no", False), "head_too_large": ("no", False),
    "not_permitted": ("no", False), "budget_spent": ("no", False), "caller_rate_limit": ("no", False),
    "policy_blocked": ("no", False), "not_supported": ("no", False), "response_not_found": ("no", False),
    "misdirected_request": ("no", False), "origin_not_allowed": ("no", False),
    "upgrade_required": ("no", False), "store_unavailable": ("no", False),
    "internal": ("no", False), "outside_geography": ("no", False), "credentials": ("no", False),
    "gateway_overloaded": ("no", False), "gateway_draining": ("no", False), "upstream_error": ("no", False),
    "unreachable": ("anywhere", True), "broken": ("anywhere", True), "slow_start": ("anywhere", True),
    "slow_reply": ("no", True), "deadline": ("no", False), "invalid_request": ("no", False),
    "context_length": ("no", False), "too_large": ("no", False), "thinking_refused": ("after_repair", False),
    "beta_refused": ("after_repair", False), "request_size": ("no", False),
    "content_filter": ("no", False), "certificate": ("no", False),
    "not_enabled": ("no", False), "not_found": ("other_model", False), "conflict": ("no", False),
    "unauthenticated": ("after_repair", False), "permission": ("no", False), "billing": ("no", False),
    "rate_limit": ("anywhere", False), "quota_zero": ("other_model", False), "timeout": ("anywhere", True),
    "overloaded": ("anywhere", True), "server_error": ("anywhere", True), "unexpected": ("no", False),
}  # fmt: skip


def test_what_is_retried_and_who_is_blamed() -> None:
    assert {name: (kind.retry, kind.blames_deployment) for name, kind in KINDS.items()} == DECISIONS
