"""Risk: a field or header of a request chooses the upstream, its credentials, or a header of the call."""

from __future__ import annotations

import json

import pytest

from modelmux.wire.http import Origin
from support.asgi import request
from support.blocks import NEW
from support.chat import chat
from support.fakes import FakeUpstream, error_reply, message_reply
from support.gateway import PATH, ask, gateway
from support.http_peers import call as upstream_call
from support.http_peers import peer, pool_of, replies
from support.pictures import image_part
from support.security import BEARER, KEY, PROJECT, TOKEN, guarded, send


@pytest.mark.parametrize(
    "field", ["api_base", "base_url", "api_key", "vertex_project", "vertex_location",
              "vertex_credentials", "extra_headers", "custom_llm_provider", "aws_sts_endpoint", "litellm_params", "url",
              "project", "location"]
)  # fmt: skip
async def test_s3_no_field_chooses_host_or_credentials(field: str) -> None:
    subject = guarded(message_reply())
    body = ask(**{field: "http://attacker.example/"})
    response = await send(subject.app, "POST", PATH, BEARER, json.dumps(body).encode())
    if response.status == 400:
        assert not subject.upstream.calls
        return
    (call,) = subject.upstream.calls
    assert call.origin.host == "aiplatform.googleapis.com"
    assert call.target.startswith(f"/v1/projects/{PROJECT}/locations/global/publishers/anthropic/models/")
    assert dict(call.headers)[b"authorization"] == f"Bearer {TOKEN}".encode()
    assert b"attacker" not in call.body


@pytest.mark.parametrize(
    "header", ["x-portkey-custom-host", "x-portkey-config", "x-base-url", "x-upstream-url", "openai-base-url",
               "x-goog-user-project", "x-api-base", "helicone-target-url", "x-modelmux-upstream"]
)  # fmt: skip
async def test_s11_no_header_chooses_the_upstream(header: str) -> None:
    got = await chat(headers={header: "http://127.0.0.1:1/"})
    (call,) = got.upstream.calls
    assert (call.origin.scheme, call.origin.host) == ("https", "aiplatform.googleapis.com")
    assert all(b"127.0.0.1" not in value for _, value in call.headers)


@pytest.mark.parametrize(
    "text", ["claude\r\nx-evil: 1", "claude HTTP/1.1\r\nHost: evil\r\n\r\nGET /", "../../../v1beta1/x",
             "a/b:rawPredict?x=", "claude\x00", "claude\u2028", "%0d%0aevil", "claude-sonnet-4-6:rawPredict#"]
)  # fmt: skip
async def test_s20_model_names_do_not_reach_urls_or_headers(text: str) -> None:
    for settings in (
        {},
        {"vertex": {"project": PROJECT, "location": "global", "model": NEW, "default_for_unknown_models": True}},
    ):
        subject = guarded(message_reply(), **settings)
        response = await send(subject.app, "POST", PATH, BEARER, json.dumps(ask() | {"model": text}).encode())
        for call in subject.upstream.calls:
            assert call.target.endswith(f"/models/{NEW}:rawPredict")
            assert all(b"evil" not in value for _, value in call.headers)
        assert response.status == (200 if subject.upstream.calls else 404)
        assert not any("evil" in value for value in response.headers.values())


@pytest.mark.parametrize("beta", ["x\r\nevil: 1", "computer-use-2025-01-24, evil", "\u00ff\u00fe", "a" * 9000])
async def test_s20_beta_headers_of_clients_are_not_forwarded(beta: str) -> None:
    subject = guarded(message_reply())
    headers = [*BEARER, (b"anthropic-beta", beta.encode("latin-1")), (b"anthropic-version", b"evil")]
    assert (await send(subject.app, "POST", PATH, headers, json.dumps(ask()).encode())).status == 200
    (call,) = subject.upstream.calls
    assert b"anthropic-beta" not in dict(call.headers)
    assert b"evil" not in b"".join(value for _, value in call.headers) + call.body


@pytest.mark.parametrize("value", ["req\r\nset-cookie: a=b", "req\nx", "a b", "\x1b[31m", "é", "x" * 129, ""])
async def test_s20_only_valid_request_ids_are_accepted(value: str) -> None:
    subject = guarded()
    response = await send(subject.app, "GET", "/v1/models", [*BEARER, (b"x-request-id", value.encode())])
    assert response.headers["x-request-id"].startswith("req_")
    assert "set-cookie" not in response.headers


async def test_s20_notices_cannot_break_out_of_their_header() -> None:
    for text in ("a\r\nx-evil: 1", "a, forged=yes", "é", "x" * 5000, "a\x00b"):
        got = await chat(**{text: 1})
        line = got.response.headers.get("x-modelmux-notices", "")
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 4096
        assert "x-evil" not in got.response.headers
        assert "forged=yes" not in got.notices


@pytest.mark.parametrize(
    "reference", ["os.environ/HOME", "${HOME}", "$HOME", "env:HOME", "file:///etc/hostname", "@/etc/hostname"]
)
async def test_s22_references_in_requests_are_not_resolved(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/canary-home")
    got = await chat(messages=[{"role": "user", "content": reference}], user=reference, metadata={"a": reference})
    assert b"canary-home" not in got.upstream.calls[-1].body
    assert reference.encode() in got.upstream.calls[-1].body
    refused = await request(
        gateway(FakeUpstream([])),
        "POST",
        PATH,
        ask() | {"messages": [{"role": "user", "content": [image_part(reference)]}]},
    )
    assert refused.status == 400


#: Headers that a call to Vertex AI may have, in addition to those of the connection itself.
SENT = {b"authorization", b"content-type", b"accept", b"user-agent", b"anthropic-beta", b"x-goog-user-project"}


async def test_s41_upstream_headers_are_built_from_nothing() -> None:
    canaries = [
        (b"cookie", b"session=canary"), (b"proxy-authorization", b"Basic canary"), (b"x-goog-api-key", b"canary"),
        (b"anthropic-api-key", b"canary"), (b"x-forwarded-for", b"203.0.113.7"), (b"forwarded", b"for=canary"),
        (b"user-agent", b"canary/1"), (b"referer", b"https://canary.example"), (b"traceparent", b"00-canary"),
        (b"accept-encoding", b"canary"), (b"te", b"trailers"), (b"openai-organization", b"canary"),
        (b"x-api-key", KEY.encode()),
        (b"x-goog-user-project", b"canary"), (b"content-type", b"application/json; canary=1"),
        (b"x-request-id", b"canary-id"),
    ]  # fmt: skip
    for stream in (False, True):
        subject = guarded(message_reply())
        await send(subject.app, "POST", PATH, [*BEARER, *canaries], json.dumps(ask(stream=stream)).encode())
        (call,) = subject.upstream.calls
        names = [name for name, _ in call.headers]
        assert set(names) <= SENT
        assert len(set(names)) == len(names)
        assert dict(call.headers)[b"authorization"] == b"Bearer " + TOKEN.encode()
        sent = b"\n".join(name + value for name, value in call.headers) + call.body
        for canary in (b"canary/1", b"=canary", b"canary-id", KEY.encode(), b"203.0.113", b"c canary"):
            assert canary not in sent


OVERLOADED_BODY = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


async def test_g70_headers_are_built_anew_for_each_attempt(no_waiting: list[float]) -> None:
    refused = error_reply(401, {"error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}})
    model = {"name": "m", "model": "claude-sonnet-4-6", "locations": ["global", "eu"]}
    upstream = FakeUpstream([refused, error_reply(529, OVERLOADED_BODY), message_reply()])
    canary = {
        "x-custom": "canary",
        "cookie": "canary",
        "x-goog-user-project": "canary",
        "authorization": f"Bearer {KEY}",
    }
    response = await request(
        gateway(upstream, vertex={"models": [model]}), "POST", PATH, ask() | {"model": "m"}, canary
    )
    assert response.status == 200
    assert len(upstream.calls) == 3
    without_token = [[pair for pair in call.headers if pair[0] != b"authorization"] for call in upstream.calls]
    assert without_token[0] == without_token[1] == without_token[2]
    assert b"canary" not in repr([call.headers for call in upstream.calls]).encode()
    assert len({dict(call.headers)[b"authorization"] for call in upstream.calls[1:]}) == 1


async def test_g71_encodings_of_clients_are_not_forwarded() -> None:
    async with peer(replies(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")) as (origin, _), pool_of() as pool:
        seen: list[bytes] = []
        assert isinstance(origin, Origin)
        real = upstream_call(origin, headers=[(b"accept-encoding", b"gzip")])
        with pytest.raises(ValueError, match="set by the connection"):
            seen.append(await (await pool.send(real)).read(10))
        assert not seen
    names = ("accept-encoding", "te", "connection", "upgrade", "x-forwarded-accept-encoding", "x-pass-accept-encoding")
    got = await chat(headers=dict.fromkeys(names, "br"))
    sent = {name for name, _ in got.upstream.calls[0].headers}
    assert not sent & {name.encode() for name in names}
