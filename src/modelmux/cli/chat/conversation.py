"""A conversation with a model through a gateway: its history, one message at a time, the answer as it streams.

Speaks the OpenAI API over HTTP. Not in this module: the terminal.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from modelmux.errors import CertificateNotAccepted, GatewayError, UpstreamUnreachable
from modelmux.upstream.base import Reply, Upstream
from modelmux.upstream.trust import CLIENT_REMEDY
from modelmux.wire.http import Headers, HttpCall, Origin, Timeouts
from modelmux.wire.sse import SSEDecoder

_TIMEOUTS: Final = Timeouts(connect=5.0, first_byte=600.0, idle=300.0)
#: Size limit of a response that is not a stream: errors and the list of models.
_MAX_BODY: Final = 4 * 1024 * 1024

_MODELS_HINT: Final = "`modelmux models` lists the models that are served."

#: Called with each piece of an answer.
Show = Callable[[Literal["text", "reasoning"], str], None]


class ChatError(Exception):
    """What went wrong, in a sentence, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(slots=True)
class ReplyInfo:
    """An answer without its text. ``usage`` as in the OpenAI API."""

    usage: dict[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Conversation:
    """:param url: of the gateway, with or without ``/v1``.

    :raises ValueError: the URL is not valid.
    """

    def __init__(
        self, upstream: Upstream, url: str, *, model: str = "", system: str | None = None, key: str | None = None
    ) -> None:
        self._upstream = upstream
        self.url = url.rstrip("/").removesuffix("/v1")
        self._origin = Origin.parse(self.url)
        self._prefix = urlsplit(self.url).path
        self._key = key
        self.model = model
        self._system = [{"role": "system", "content": system}] if system else []
        self.history: list[dict[str, str]] = []

    async def models(self) -> list[str]:
        """The names of the models that the gateway lists.

        :raises ChatError:
        """
        reply = await self._request("GET", "/v1/models", b"")
        try:
            page = json.loads(await self._body(reply))
            return [str(model["id"]) for model in page["data"]]
        except (ValueError, LookupError, TypeError):
            raise ChatError(f"{self.url} lists no models", "Is it a gateway? Pass a model with --model.") from None
        finally:
            await reply.aclose()

    async def send(self, text: str, show: Show) -> ReplyInfo:
        """Send the next message. It is added to the history with its answer, or with the part that came before it was
        stopped.

        :raises ChatError: nothing was added.
        """
        message = {"role": "user", "content": text}
        body = {
            "model": self.model,
            "messages": [*self._system, *self.history, message],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        answer: list[str] = []

        def on_piece(kind: Literal["text", "reasoning"], piece: str) -> None:
            if kind == "text":
                answer.append(piece)
            show(kind, piece)

        try:
            info = await self._stream(json.dumps(body).encode(), on_piece)
        except asyncio.CancelledError:
            self._remember(message, answer)
            raise
        self._remember(message, answer)
        return info

    def _remember(self, message: dict[str, str], answer: list[str]) -> None:
        if answer:  # turns have to alternate, so a message without an answer is left out
            self.history += [message, {"role": "assistant", "content": "".join(answer)}]

    async def _stream(self, body: bytes, show: Show) -> ReplyInfo:
        reply = await self._request("POST", "/v1/chat/completions", body)
        info = ReplyInfo(headers={name.decode(): value.decode("latin-1") for name, value in reply.headers})
        try:
            decoder = SSEDecoder()
            async for piece in reply:
                for event in decoder.feed(piece):
                    if event.data == b"[DONE]":
                        return info
                    _read_chunk(event.data, info, show)
        except GatewayError as error:
            raise ChatError(error.message, error.hint) from None
        finally:
            await reply.aclose()
        raise ChatError("the answer ended early", "Send it again; `modelmux logs` may show why.")

    async def _request(self, method: str, path: str, body: bytes) -> Reply:
        headers: Headers = [
            (b"content-type", b"application/json"),
            (b"accept", b"*/*"),
            (b"user-agent", b"modelmux-chat"),
        ]
        if self._key:
            headers.append((b"authorization", f"Bearer {self._key}".encode()))
        try:
            reply = await self._upstream.send(
                HttpCall(self._origin, self._prefix + path, headers, body, _TIMEOUTS, method=method)
            )
        except CertificateNotAccepted as error:
            raise ChatError(f"the certificate of {self.url} was not accepted ({error.detail})", CLIENT_REMEDY) from None
        except UpstreamUnreachable as error:
            raise ChatError(
                f"no gateway responds at {self.url} ({error.detail})",
                "Start it with `modelmux serve`, name another with --url, or use --direct to do without one.",
            ) from None
        except GatewayError as error:
            raise ChatError(f"{self.url}: {error.message}", error.hint) from None
        if reply.status == 200:
            return reply
        try:
            raise _error_of(reply.status, await self._body(reply), self.url)
        finally:
            await reply.aclose()

    async def _body(self, reply: Reply) -> bytes:
        try:
            return await reply.read(_MAX_BODY)
        except GatewayError as error:
            raise ChatError(f"{self.url}: {error.message}", error.hint) from None


def _read_chunk(data: bytes, info: ReplyInfo, show: Show) -> None:
    try:
        chunk = json.loads(data)
    except ValueError:
        raise ChatError("the answer is not a stream of JSON", "Is it a gateway?") from None
    if chunk.get("error"):
        raise ChatError(_message(chunk["error"]))
    info.usage = chunk.get("usage") or info.usage
    for choice in chunk.get("choices") or []:
        delta = choice.get("delta") or {}
        if delta.get("reasoning_content"):
            show("reasoning", delta["reasoning_content"])
        if text := delta.get("content") or delta.get("refusal"):
            show("text", text)
        info.finish_reason = choice.get("finish_reason") or info.finish_reason


def _error_of(status: int, body: bytes, url: str) -> ChatError:
    try:
        error = json.loads(body)["error"]
        message = _message(error)
    except (ValueError, LookupError, TypeError):
        return ChatError(f"{url} responded with status {status}", "Is it a gateway? Its URL may need another path.")
    if status == 401:
        return ChatError(message, "Pass a key for the gateway with --api-key, or in $MODELMUX_KEY.")
    if status == 404:
        is_model = isinstance(error, dict) and error.get("code") == "model_not_found"
        return ChatError(message, _MODELS_HINT if is_model else f"Check the URL of the gateway, {url}.")
    return ChatError(message)


def _message(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or "an error without a message").rstrip(".")
