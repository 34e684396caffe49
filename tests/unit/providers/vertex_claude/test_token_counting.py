"""Risk: tokens are counted at the wrong URL, in the wrong project, or with the wrong host for a location."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.native import NativeRequest
from modelmux.errors import UpstreamBroken
from modelmux.providers.base import TokenCounting
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.routing.model import Deployment, Route

CARD = builtin().card("claude-haiku-4-5@20251001")
PATH = "/v1/projects/p-1/locations/{}/publishers/anthropic/models/"
GOOGLE = "https://europe-west4-aiplatform.googleapis.com"
CONTENT: dict[str, Any] = {"messages": [], "context_management": {}}
REQUEST = NativeRequest(b"{}", CONTENT, [])


def deployment(base: str = GOOGLE, location: str = "europe-west4", id: str = "fast@europe-west4#2") -> Deployment:
    return Deployment(id, base + PATH.format(location) + CARD.id, "p-1", location, CARD)


def counting() -> TokenCounting:
    counting = VertexClaude().counting
    assert counting is not None
    return counting


def targets(own: Deployment, *geographies: str) -> list[tuple[str, str]]:
    route = Route("fast", (own,), geographies=geographies)
    return [(target.id, target.url) for target in counting().deployments(own, route)]


def test_other_locations_are_asked_at_their_own_hosts_in_the_same_project() -> None:
    own = deployment()
    assert targets(own, "eu") == [
        (own.id, own.url),
        ("fast@eu", "https://aiplatform.eu.rep.googleapis.com" + PATH.format("eu") + CARD.id),
    ]


def test_a_host_that_is_not_googles_is_asked_for_all_locations() -> None:
    own = deployment("http://127.0.0.1:9000", "us-east5", "fast")
    assert targets(own, "us")[1:] == [("fast@us", "http://127.0.0.1:9000" + PATH.format("us") + CARD.id)]


def test_a_url_without_a_location_has_no_others() -> None:
    own = Deployment("fast@url", "https://proxy.example/models/x", "p", "us", CARD)
    assert targets(own) == [(own.id, own.url)]


def test_the_url_names_token_counting_and_no_beta_is_sent() -> None:
    own = deployment()
    call = counting().call(own, b"{}", "token-1", route=Route("fast", (own,)))
    assert call.target == PATH.format("europe-west4") + "count-tokens:rawPredict"
    assert dict(call.headers)[b"authorization"] == b"Bearer token-1"
    assert b"anthropic-beta" not in dict(call.headers)
    assert (call.method, call.body) == ("POST", b"{}")


def test_a_request_is_prepared_for_the_model_of_the_deployment() -> None:
    own, request = deployment(), NativeRequest(b'{"messages": []}', {"messages": []}, [])
    prepared = counting().prepare(request, own, Route("fast", (own,)), refused=frozenset())
    assert b'"claude-haiku-4-5"' in prepared.body


def refusal(status: int, type: str, message: str) -> tuple[bool, frozenset[str]]:
    """Whether it says that counting is unavailable, and the fields it refuses."""
    body = f'{{"type": "error", "error": {{"type": "{type}", "message": "{message}"}}}}'.encode()
    error = VertexClaude().error(status, [], body, deployment())
    return counting().is_unavailable(error), counting().refused_fields(error, REQUEST)


def test_what_an_error_means() -> None:
    unknown = "claude-x is not supported for token counting"
    assert refusal(404, "not_found_error", "no") == (True, frozenset())
    assert refusal(400, "invalid_request_error", unknown) == (True, frozenset())
    assert refusal(500, "api_error", unknown) == (False, frozenset())
    extra = "context_management: Extra inputs are not permitted"
    assert refusal(400, "invalid_request_error", extra) == (False, frozenset({"context_management"}))
    assert refusal(403, "permission_error", extra) == (False, frozenset())


def test_a_reply_has_a_positive_number() -> None:
    counting().check(b'{"input_tokens": 7, "new": {}}')
    for body in (b"", b"{}", b'{"input_tokens": 0}', b'{"input_tokens": null}', b"\xff", b"<html>", b"[7]"):
        with pytest.raises(UpstreamBroken):
            counting().check(body)
