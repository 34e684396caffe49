"""Risk: one and the same fault of the gateway's credentials is a 500 here and a 502 there: nobody finds it by status.

Whatever is wrong with them, and whenever it is noticed: before the first call, or when Google rejects a token.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.upstream.base import TokenSource
from modelmux.upstream.google_auth.failures import FailureCause, TokenFailure
from modelmux.upstream.google_auth.tokens import StaticToken
from support.asgi import request
from support.fakes import FakeUpstream, error_reply
from support.gateway import PROJECT, ask, gateway

_VERTEX = f"/v1/projects/{PROJECT}/locations/global/publishers/anthropic/models/claude-sonnet-4-6"
_MESSAGES = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
#: Dialect and mode -> path and body.
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat, unary": ("/v1/chat/completions", ask()),
    "chat, stream": ("/v1/chat/completions", ask(stream=True)),
    "responses, unary": ("/v1/responses", {"model": "claude-sonnet-4-6", "input": "Hi"}),
    "responses, stream": ("/v1/responses", {"model": "claude-sonnet-4-6", "input": "Hi", "stream": True}),
    "messages, unary": ("/v1/messages", {"model": "claude-sonnet-4-6", **_MESSAGES}),
    "messages, stream": ("/v1/messages", {"model": "claude-sonnet-4-6", "stream": True, **_MESSAGES}),
    "vertex, unary": (f"{_VERTEX}:rawPredict", {"anthropic_version": "vertex-2023-10-16", **_MESSAGES}),
    "vertex, stream": (
        f"{_VERTEX}:streamRawPredict", {"anthropic_version": "vertex-2023-10-16", "stream": True, **_MESSAGES},
    ),
}  # fmt: skip


REJECTED = {"error": {"code": 401, "message": "said so", "status": "UNAUTHENTICATED"}}


class NoToken(TokenSource):
    """Credentials of which no token can be made."""

    async def token(self) -> str:
        raise TokenFailure(FailureCause.LOGIN_EXPIRED).error()

    async def renew(self, rejected: str) -> str:
        del rejected
        return await self.token()

    async def aclose(self) -> None:
        pass


class NoSecondToken(NoToken):
    """Credentials that were revoked after the first token."""

    async def token(self) -> str:
        return "token-1"

    async def renew(self, rejected: str) -> str:
        raise TokenFailure(FailureCause.KEY_REFUSED).error()


#: Fault -> credentials; None: each token is rejected, and another one can be fetched.
FAULTS: dict[str, Callable[[], TokenSource] | None] = {
    "there is no token": NoToken,
    "the configured token is rejected": lambda: StaticToken("wrong"),
    "the token is rejected, and there is no other": NoSecondToken,
    "every token is rejected": None,
}


def app_of(fault: str) -> Gateway:
    app = gateway(FakeUpstream([error_reply(401, [REJECTED]) for _ in range(4)]))
    make = FAULTS[fault]
    if make is not None:
        app._token_override = make()
        app._current = app._build(app._current.config, None)
    return app


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("sent", REQUESTS)
async def test_it_is_a_502_that_is_not_to_be_retried(sent: str, fault: str) -> None:
    path, body = REQUESTS[sent]
    app = app_of(fault)
    response = await request(app, "POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
    assert (response.status, response.headers["x-should-retry"]) == (502, "false"), response.body
    error = response.json()["error"]
    if sent.startswith(("chat", "responses")):
        assert (error["code"], error["type"]) == ("upstream_auth_error", "server_error")
    else:
        assert error["type"] == "api_error"
    await app.aclose()
