"""A log line for each request that the gateway itself refuses: what it asked for, from where, and why it was refused.

Clients decide how many there are, so the lines are limited (``telemetry/line_limit.py``), and those left out are
counted. Requests that are served never come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from modelmux.errors import GatewayError
from modelmux.server.responses import Scope
from modelmux.telemetry import names
from modelmux.telemetry.line_limit import LineLimit
from modelmux.telemetry.log import Log
from modelmux.telemetry.loggable import ABSENT, first_word, loggable_path, loggable_word
from modelmux.wire.http import find_raw_header
from modelmux.wire.redaction import redacted

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Refusal(NamedTuple):
    """A refused request.

    :param code: of the error, or the name of its kind.
    :param method, path: None if they could not be read.
    :param client: the address and port of its connection.
    :param key: id of its virtual key, also of one that may not be used.
    :param model: that it asked for, as far as the request was read.
    """

    status: int
    code: str
    method: str | None
    path: str | None
    client: Any
    user_agent: bytes
    model: str | None
    request_id: str | None
    key: str | None = None

    @classmethod
    def of(
        cls,
        error: GatewayError,
        status: int,
        scope: Scope,
        *,
        model: str | None = None,
        request_id: str | None = None,
    ) -> Refusal:
        """The refusal of a request.

        :param scope: one that could not be read lacks ``method`` and ``path``.
        """
        user_agent = find_raw_header(scope["headers"], b"user-agent") or b""
        method, path, client = scope.get("method"), scope.get("path"), scope.get("client")
        code = error.code or error.kind.name
        return cls(status, code, method, path, client, user_agent, model, request_id, error.key)


class RefusedRequests:
    """The lines of a process.

    :param clock: monotonic seconds.
    :ivar redact: removes secrets from what clients chose.
    """

    def __init__(self, log: Log, clock: Callable[[], float]) -> None:
        self.redact: Callable[[str], str] = redacted
        self._log = log
        self._clock = clock
        self._limit = LineLimit()
        self._loop: asyncio.AbstractEventLoop | None = None  # the one with the timer
        self._timer: asyncio.TimerHandle | None = None

    def note(self, refusal: Refusal, known_path: Callable[[str], str | None] | None = None) -> None:
        """Log a refused request, or count it. The count is logged by a timer: before the next line, it would double the
        lines of a steady flood.

        :param known_path: the template of a path; None if it is not served.
        """
        now = self._clock()
        if not self._limit.allows(now):
            self._limit = self._limit.after_left_out()
            self._flush_in(self._limit.count_due_in(now))
            return
        self._limit = self._limit.after_line(now)
        path = refusal.path
        known = known_path(path) if path is not None and known_path is not None else None
        self._log.warning(
            names.EVENT_REFUSED,
            request_id=refusal.request_id,
            status=refusal.status,
            code=refusal.code,
            method=refusal.method if refusal.method in _METHODS else ABSENT,
            path=known or (ABSENT if path is None else loggable_path(path, self.redact)),
            client=_address(refusal.client),
            user_agent=first_word(refusal.user_agent, self.redact),
            requested_model=loggable_word(refusal.model, self.redact),
            key=refusal.key or ABSENT,
        )

    def _flush_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a timer of another loop, which may have ended, fires no more
            self._cancel()
            self._loop = loop
        if self._timer is None:
            self._timer = loop.call_later(seconds, self.flush)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def flush(self) -> None:
        """Log how many lines were left out, if any were."""
        self._cancel()
        left_out = self._limit.left_out
        if left_out:
            self._limit = self._limit.after_count(self._clock())
            requests = "1 more refused request was" if left_out == 1 else f"{left_out} more refused requests were"
            self._log.warning(names.EVENT_REFUSED, message=f"{requests} not logged", dropped=left_out)


def report_error(app: Any, error: GatewayError, refused: Scope | None) -> None:
    """Let a gateway count an error that the HTTP parser sends, and its application does not see; log the request.

    :param app: any ASGI application; only a gateway is told.
    :param refused: the request, as far as it was read; None: nothing was refused.
    """
    count = getattr(app, "count_error", None)
    if count is not None:
        count(error)
    if refused is not None:
        log_refused(app, error, refused)


def log_refused(app: Any, error: GatewayError, refused: Scope) -> None:
    """Let a gateway log a request that the HTTP parser refuses. The parameters are those of ``report_error``."""
    lines = getattr(app, "refused", None)
    if lines is not None:
        lines.note(Refusal.of(error, error.status, refused), getattr(app, "known_path", None))


def _address(client: Any) -> str:
    """The host of a client's address; a client on a Unix socket has none."""
    return str(client[0]) if client and client[0] else ABSENT
