"""Risk: a call with another deployment's address, an old token, or without the project that pays."""

from __future__ import annotations

import json

from modelmux.catalog import builtin
from modelmux.claude.native import NativeRequest
from modelmux.errors import UpstreamRefused
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.routing.model import Deployment, Route
from modelmux.wire.http import find_header

CARD = builtin().card("claude-opus-4-6")
HERE, THERE = (
    Deployment(name, f"https://{name}.example/v1/projects/acme-prod/models/m", "acme-prod", "eu", CARD)
    for name in ("here", "there")
)
ROUTE = Route("r", (HERE, THERE))


def test_a_call_has_the_verb_the_token_and_the_betas() -> None:
    call = VertexClaude().call(HERE, b"{}", "t1", stream=True, betas=("one", "two"), route=ROUTE)
    assert (call.origin.host, call.target) == ("here.example", "/v1/projects/acme-prod/models/m:streamRawPredict")
    assert find_header(call.headers, b"authorization") == "Bearer t1"
    assert find_header(call.headers, b"accept") == "text/event-stream"
    assert find_header(call.headers, b"anthropic-beta") == "one,two"
    assert find_header(call.headers, b"x-goog-user-project") is None
    assert (call.body, call.timeouts) == (b"{}", ROUTE.timeouts)


def test_what_is_computed_once_follows_every_value_it_was_made_of() -> None:
    project: list[str | None] = [None]
    provider = VertexClaude(quota_project=lambda: project[0])

    def call(
        deployment: Deployment = HERE, token: str = "t1", stream: bool = False, betas: tuple[str, ...] = ()
    ) -> bytes:
        head = provider.call(deployment, b"{}", token, stream=stream, betas=betas, route=ROUTE).head
        assert head is not None
        return head

    first = call()
    assert call() == first
    assert b":rawPredict " in first
    assert b"here.example" in first
    assert b"there.example" in call(THERE)
    assert b"Bearer t2" in call(token="t2")
    assert b":streamRawPredict " in call(stream=True)
    assert b"anthropic-beta: beta\r\n" in call(betas=("beta",))
    project[0] = "payer"
    assert b"x-goog-user-project: payer\r\n" in call()
    project[0] = None
    assert call() == first


def test_an_error_reply_keeps_its_bytes_unless_they_name_the_project() -> None:
    def error_of(message: str, **fields: str) -> UpstreamRefused:
        bodies.append(json.dumps({"error": {"status": "RESOURCE_EXHAUSTED", "message": message} | fields}).encode())
        return VertexClaude().error(429, [(b"retry-after", b"7")], bodies[-1], HERE)

    bodies: list[bytes] = []
    error = error_of("Quota of acme-prod.")
    assert (error.message, error.kind.name, error.retry_after) == ("Quota of ***.", "rate_limit", 7.0)
    assert (error.reply.status, error.reply.body) == (429, b"")
    assert error_of("Quota.", resource="acme-prod").reply.body == b""
    assert error_of("Quota of projects/123456.").reply.body == b""
    error = error_of(" Quota. ")
    assert (error.message, error.reply.body) == ("Quota.", bodies[-1])
    assert error.reply.headers == [(b"retry-after", b"7")]


def test_betas_that_clients_invent_do_not_fill_the_memory() -> None:
    provider, kept = VertexClaude(), 0
    for number in range(3000):
        provider.call(HERE, b"{}", "token", stream=False, betas=(f"beta-{number}",), route=ROUTE)
        kept = max(kept, len(provider._templates))
    assert kept == 1024
    kept = len(provider._templates)
    call = provider.call(HERE, b"{}", "token", stream=False, betas=("b" * 1025,), route=ROUTE)
    assert b"b" * 1025 in bytes(call.head)
    assert len(provider._templates) == kept


def test_a_native_request_and_its_reply_keep_their_bytes() -> None:
    provider, body = VertexClaude(), b'{"model":"m", "x" : 1.0,"anthropic_version":"vertex-2023-10-16"}'
    native = NativeRequest(body, json.loads(body), [])
    prepared = provider.prepare_native(native, HERE, ROUTE, refused=frozenset(), drops=None)
    assert prepared.body == b'{ "x" : 1.0,"anthropic_version":"vertex-2023-10-16"}'
    reply = b'{"type":"message","content":[],"stop_reason":"end_turn","new":1,"usage":{}}'
    assert json.loads(provider.body_of(provider.stream_of(reply))) == json.loads(reply)


def test_a_native_request_is_prepared_for_the_deployments_model_and_the_routes_options() -> None:
    provider, content = VertexClaude(), {"model": "x", "thinking": 1}
    request = NativeRequest(b'{"model":"x","thinking":1}', content, [], betas=("a-1", "b-2"))
    prepared = provider.prepare_native(request, HERE, ROUTE, refused=frozenset({"a-1"}), drops=None)
    assert prepared.body == b'{"anthropic_version":"vertex-2023-10-16","thinking":1}'
    assert prepared.betas == ("b-2",)


def test_only_a_refused_beta_names_values() -> None:
    def refused(message: str) -> frozenset[str]:
        body = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        return VertexClaude().refused_betas(VertexClaude().error(400, [], json.dumps(body).encode(), HERE))

    assert refused("Unexpected value(s) `a-1` for the `anthropic-beta` header.") == {"a-1"}
    assert refused("Another `a-1`.") == frozenset()


def test_replies_change_their_form_without_losing_a_field() -> None:
    body = b'{"id":"m","content":[{"type":"text","text":"a","new":1}],"stop_reason":"end_turn","usage":{"x":1}}'
    assert json.loads(VertexClaude().body_of(VertexClaude().stream_of(body))) == json.loads(body)
