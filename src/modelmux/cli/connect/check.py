"""``modelmux connect CLIENT --check``: calls the gateway as the client would, step by step.

Not in this module: printing.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from modelmux.cli.connect.client_key import ClientKey
from modelmux.cli.connect.gateway_url import GatewayUrl
from modelmux.cli.connect.responses import Unusable, read_count, read_models, read_stream, read_unary, refusal
from modelmux.cli.connect.table import Client
from modelmux.cli.doctor.result import Result, Status
from modelmux.errors import CertificateNotAccepted, GatewayError, UpstreamUnreachable
from modelmux.upstream.base import Upstream
from modelmux.upstream.trust import CLIENT_REMEDY
from modelmux.wire.http import Headers, HttpCall, Origin, Timeouts
from modelmux.wire.sse import SSEDecoder

_TIMEOUTS: Final = Timeouts(connect=5.0, first_byte=120.0, idle=60.0)
_MAX_BODY: Final = 4 * 1024 * 1024
_MAX_TOKENS: Final = 16
_MESSAGES: Final = [{"role": "user", "content": "Hi"}]
#: What Vertex AI's paths contain in place of the version header.
_VERTEX_VERSION: Final = "vertex-2023-10-16"


class Step(Struct, frozen=True):
    """One request.

    :param kind: how its response is read.
    :param required: whether the client does not work without it.
    """

    check: str
    method: str
    path: str
    kind: str
    body: dict[str, Any] | None = None
    with_key: bool = True
    required: bool = True


class Response(Struct):
    status: int
    headers: dict[str, str]
    body: bytes = b""
    events: list[tuple[str, Any]] | None = None


def steps(client: Client, model: str) -> list[Step]:
    """The requests that a client makes, a small one of each kind."""
    message: dict[str, Any] = {"model": model, "max_tokens": _MAX_TOKENS, "messages": _MESSAGES}
    if client.api == "chat":
        return [
            Step("models", "GET", "/v1/models", "models", required=False),
            Step("unary", "POST", "/v1/chat/completions", "unary", message),
            Step("stream", "POST", "/v1/chat/completions", "stream",
                 {**message, "stream": True, "stream_options": {"include_usage": True}}),
        ]  # fmt: skip
    if client.api == "responses":
        response = {"model": model, "max_output_tokens": _MAX_TOKENS, "input": _MESSAGES, "store": False}
        return [
            Step("models", "GET", "/v1/models", "models", required=False),
            Step("unary", "POST", "/v1/responses", "unary", response),
            Step("stream", "POST", "/v1/responses", "stream", {**response, "stream": True}),
        ]
    hello = Step("hello", "HEAD", "/api/hello", "hello", with_key=False, required=False)
    if client.api == "vertex":
        models = "/v1/projects/modelmux/locations/global/publishers/anthropic/models"
        path = f"{models}/{quote(model, safe='')}"
        body = {"anthropic_version": _VERTEX_VERSION, "max_tokens": _MAX_TOKENS, "messages": _MESSAGES}
        count = {"anthropic_version": _VERTEX_VERSION, "model": model, "messages": _MESSAGES}
        return [
            hello,
            Step("unary", "POST", f"{path}:rawPredict", "unary", body),
            Step("stream", "POST", f"{path}:streamRawPredict", "stream", {**body, "stream": True}),
            Step("count tokens", "POST", f"{models}/count-tokens:rawPredict", "count", count, required=False),
        ]
    query = f"?{client.query}" if client.query else ""
    return [
        hello,
        Step("models", "GET", "/v1/models?limit=1000", "models", required=False),
        Step("unary", "POST", f"/v1/messages{query}", "unary", message),
        Step("stream", "POST", f"/v1/messages{query}", "stream", {**message, "stream": True}),
        Step("count tokens", "POST", f"/v1/messages/count_tokens{query}", "count",
             {"model": model, "messages": _MESSAGES}, required=False),
    ]  # fmt: skip


class Checker:
    """Makes the requests of one client.

    :param key: nothing is sent for one that is not known.
    """

    def __init__(self, upstream: Upstream, client: Client, url: GatewayUrl, model: str, key: ClientKey) -> None:
        self._upstream = upstream
        self._client = client
        self._url = url
        self._model = model
        self._key = key.key.reveal() if key.key is not None else None
        self._refused_hint = key.refused_hint

    async def results(self) -> AsyncIterator[Result]:
        """The result of each step. After one that shows that no gateway responds, or that the key is not accepted, the
        others are left out."""
        for step in steps(self._client, self._model):
            started = time.monotonic()
            try:
                response = await self._send(step)
            except CertificateNotAccepted as error:
                detail = f"the certificate of {self._url.root} was not accepted ({error.detail})"
                yield Result(step.check, "fail", detail, CLIENT_REMEDY)
                return
            except UpstreamUnreachable as error:
                yield Result(
                    step.check, "fail", f"no gateway responds at {self._url.root} ({error.detail})",
                    "start it with `modelmux serve`, or name another with --url",
                )  # fmt: skip
                return
            except GatewayError as error:
                hint = error.hint or "`modelmux logs` may show why"
                yield Result(step.check, "fail", f"{step.method} {step.path}: {error.message}", hint)
                continue
            yield self._judge(step, response, round(1000 * (time.monotonic() - started)))
            if response.status == 401:
                return

    def _judge(self, step: Step, response: Response, ms: int) -> Result:
        failure: Status = "fail" if step.required else "warn"
        try:
            if response.status != 200:
                raise refusal(response.status, response.headers, response.body, step.path, step.kind)
            detail = self._read(step, response)
        except Unusable as error:
            problem = f"{step.method} {step.path}: {error.problem}"
            if self._key:
                problem = problem.replace(self._key, "***")
            hint = self._refused_hint if response.status == 401 else error.hint
            return Result(step.check, "fail" if error.fatal else failure, problem, hint, ms)
        return Result(step.check, "ok", f"{step.method} {step.path}: {detail}", ms=ms)

    def _read(self, step: Step, response: Response) -> str:
        api = self._client.api
        if step.kind == "hello":
            return "the gateway is there"
        if step.kind == "models":
            return read_models(api, response.body, self._model, claude_only=self._client.names == "claude")
        if step.kind == "count":
            return read_count(response.body, response.headers)
        if response.events is not None:
            return read_stream(api, response.events)
        return read_unary(api, response.headers, response.body)

    async def _send(self, step: Step) -> Response:
        """:raises GatewayError: no response, or not a complete one."""
        body = json.dumps(step.body).encode() if step.body is not None else b""
        call = HttpCall(
            Origin.parse(self._url.root), self._url.prefix + step.path, self._headers(step), body, _TIMEOUTS,
            method=step.method,
        )  # fmt: skip
        reply = await self._upstream.send(call)
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
            response = Response(reply.status, headers)
            is_stream = headers.get("content-type", "").startswith("text/event-stream")
            if step.kind == "stream" and reply.status == 200 and is_stream:
                response.events = []
                decoder = SSEDecoder()
                async for piece in reply:
                    response.events += [(event.name.decode(), event.data) for event in decoder.feed(piece)]
            elif step.method != "HEAD":
                response.body = await reply.read(_MAX_BODY)
            return response
        finally:
            await reply.aclose()

    def _headers(self, step: Step) -> Headers:
        headers: Headers = [
            (b"accept", b"*/*"),
            (b"user-agent", f"modelmux-connect ({self._client.name})".encode()),
        ]
        if step.body is not None:
            headers.append((b"content-type", b"application/json"))
        if not step.with_key:
            return headers
        headers += [(name.encode(), value.encode()) for name, value in self._client.headers.items()]
        if self._key and self._client.auth == "bearer":
            headers.append((b"authorization", f"Bearer {self._key}".encode()))
        elif self._key:
            headers.append((b"x-api-key", self._key.encode()))
        return headers
