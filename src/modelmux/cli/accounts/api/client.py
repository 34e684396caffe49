"""Calls of the admin API: repeated where that is safe, errors as a sentence and a remedy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from modelmux.admin.operation import BASE, MAX_LIMIT, Page
from modelmux.cli.connect.gateway_url import BadUrl, GatewayUrl, parse_url
from modelmux.errors import CertificateNotAccepted, GatewayError, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from modelmux.upstream.base import Reply, Upstream
from modelmux.upstream.trust import CLIENT_REMEDY
from modelmux.wire.http import Headers, HttpCall, Origin, Timeouts, find_header

TOKEN_VARIABLE: Final = "MODELMUX_ADMIN_TOKEN"  # noqa: S105 - a name
#: How often a call is sent at most.
MOST_ATTEMPTS: Final = 4
#: The longest that is waited between two, in seconds, whatever ``retry-after`` says.
LONGEST_WAIT: Final = 10.0
_TIMEOUTS: Final = Timeouts(connect=5.0, first_byte=60.0, idle=60.0)
#: Of a reply: 50,000 groups of usage fit.
_MAX_BODY: Final = 64 * 1024 * 1024
_LOST_WAIT: Final = 0.2
_EXAMPLE: Final = "It has to be such as http://127.0.0.1:3001: the address of admin.listen, without /admin/v1."


class ApiError(Exception):
    """What went wrong, in a sentence, and what to do.

    :param status: of the reply; None if there was none.
    """

    def __init__(self, message: str, hint: str | None = None, *, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status


def admin_url(text: str) -> GatewayUrl:
    """The URL of an admin API, with or without ``/admin/v1``. :raises ApiError:"""
    try:
        return GatewayUrl(parse_url(text).root.removesuffix("/admin"))
    except BadUrl as error:
        raise ApiError(error.problem, _EXAMPLE) from None


def path_of(*parts: str) -> str:
    """``/keys/key_…``: each part is quoted."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class AdminClient:
    """
    :param token: of the admin API.
    :param new_id: returns an ``Idempotency-Key``.
    """

    def __init__(
        self,
        upstream: Upstream,
        url: GatewayUrl,
        token: str,
        new_id: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._upstream = upstream
        self._url = url
        self._origin = Origin.parse(url.root)
        self._token = token
        self._new_id = new_id
        self._sleep = sleep

    async def call(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """The JSON of a reply.

        A ``POST`` has an ``Idempotency-Key``, so a repetition changes nothing twice; a ``PATCH`` says the same again.

        :param path: below ``/admin/v1``.
        :raises ApiError:
        """
        headers: Headers = [
            (b"accept", b"application/json"),
            (b"user-agent", b"modelmux-cli"),
            (b"authorization", f"Bearer {self._token}".encode()),
        ]
        if body is not None:
            headers.append((b"content-type", b"application/json"))
        if method == "POST":
            headers.append((b"idempotency-key", self._new_id().encode()))
        target = f"{self._url.prefix}{BASE}{path}{f'?{urlencode(query)}' if query else ''}"
        sent = b"" if body is None else json.dumps(body).encode()
        call = HttpCall(self._origin, target, headers, sent, _TIMEOUTS, method=method, resend=False)
        for attempt in range(1, MOST_ATTEMPTS + 1):
            is_last = attempt == MOST_ATTEMPTS
            try:
                status, reply_headers, answer = await self._send(call)
            except (UpstreamBroken, UpstreamTimeout) as error:
                if is_last or method == "DELETE":
                    raise self._lost(error, method) from None
                await self._sleep(_LOST_WAIT)
                continue
            wait = find_header(reply_headers, b"retry-after")
            if status in (429, 503) and wait is not None and not is_last:
                await self._sleep(_seconds(wait))
                continue
            return self._read(status, answer, is_list=method == "GET" and path.count("/") == 1)
        raise AssertionError

    async def pages(self, path: str, query: Mapping[str, str] | None = None, most: int | None = None) -> list[Any]:
        """The members of a list, from as many of its pages as it takes.

        :param most: so many members are enough.
        :raises ApiError:
        :raises msgspec.ValidationError: it is not a list.
        """
        members: list[Any] = []
        after = ""
        while True:
            size = MAX_LIMIT if most is None else min(MAX_LIMIT, most - len(members))
            position = {"after": after} if after else {}
            answer = await self.call("GET", path, query={**(query or {}), "limit": str(size), **position})
            page = msgspec.convert(answer, Page[Any])
            members += page.data
            if page.next is None or (most is not None and len(members) >= most):
                return members
            after = page.next

    async def aclose(self) -> None:
        await self._upstream.aclose()

    async def _send(self, call: HttpCall) -> tuple[int, Headers, bytes]:
        """:raises ApiError, UpstreamBroken, UpstreamTimeout:"""
        url = self._url.root
        try:
            reply: Reply = await self._upstream.send(call)
            try:
                return reply.status, reply.headers, await reply.read(_MAX_BODY)
            finally:
                await reply.aclose()
        except CertificateNotAccepted as error:
            raise ApiError(f"the certificate of {url} was not accepted ({error.detail})", CLIENT_REMEDY) from None
        except UpstreamUnreachable as error:
            hint = "Is the gateway running, with accounts.enabled = true, and is admin.listen this address?"
            raise ApiError(f"nothing responds at {url} ({error.detail})", hint) from None
        except (UpstreamBroken, UpstreamTimeout):
            raise
        except GatewayError as error:
            raise ApiError(f"{url}: {error.message}", error.hint) from None

    def _lost(self, error: GatewayError, method: str) -> ApiError:
        what = "did not reply in time" if isinstance(error, UpstreamTimeout) else "ended the connection without a reply"
        hint = "Try again."
        if method != "GET":
            hint = "The change may have been made: look with `list` or `show` before it is made again."
        return ApiError(f"{self._url.root} {what}", hint)

    def _read(self, status: int, answer: bytes, *, is_list: bool) -> Any:
        """:param is_list: of a path that every admin API has."""
        try:
            body = json.loads(answer)
            error = None if status < 300 else body["error"]
            message = "" if error is None else str(error["message"])
        except (ValueError, LookupError, TypeError):
            problem = f"{self._url.root} is not an admin API: it responded with status {status}"
            raise ApiError(problem, _EXAMPLE, status=status) from None
        if error is None:
            return body
        if status == 404 and is_list:
            raise ApiError(f"there is no admin API at {self._url.root}", _EXAMPLE, status=status)
        hint = f"Set {TOKEN_VARIABLE} to a token of this gateway's admin API." if status == 401 else None
        raise ApiError(message.rstrip("."), hint, status=status)


def _seconds(retry_after: str) -> float:
    return min(float(retry_after), LONGEST_WAIT) if retry_after.isdecimal() else 1.0
