"""Google access tokens, refreshed in the background.

``GoogleTokens`` is a cache with one writer. It returns a token without suspending. After 75 % of the token's lifetime a
timer starts one refresh in the background, so that no request waits for it, not even after an idle period. Callers wait
only while there is no valid token, all of them for the same attempt.

    absent ──attempt──> fresh ──75 % of lifetime──> stale ──expiry──> absent
                          ^                           │
                          └──────── refreshed ────────┘    a failed refresh is retried with backoff

google-auth blocks, so an attempt runs in a thread. There is at most one such thread: when an attempt times out, its
waiters get an error, the next attempt joins the running thread, and its token is still used when it arrives. The
thread is a daemon, because a thread of an executor would delay the exit of the process while a connection hangs.

Not in this module: parsing of credentials, HTTP, the texts of messages.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from modelmux.upstream.base import TokenSource
from modelmux.upstream.google_auth.failures import FailureCause, FileVersion, TokenFailure
from modelmux.upstream.google_auth.loaders import (
    AccessToken,
    LoadedCredentials,
    Loader,
    fetch_token,
    file_version,
)
from modelmux.upstream.trust import NO_TRUST, Trust

#: Share of its lifetime after which a token is refreshed.
REFRESH_RATIO = 0.75
#: Seconds before its expiry from which a token is no longer used: the request still has to reach Vertex AI.
EXPIRY_MARGIN = 10.0
#: Seconds that callers wait for an attempt; google-auth's own retries can take longer.
ATTEMPT_TIMEOUT = 30.0
#: Seconds for which a failure is returned to all callers, to protect the token endpoint.
FAILURE_TTL = 2.0
#: Seconds between background attempts after a failure; doubles from the first to the maximum.
INITIAL_BACKOFF = 5.0
MAX_BACKOFF = 60.0

#: Names of events for ``on_event``.
EVENT_REFRESHED = "refreshed"
EVENT_REFRESH_FAILED = "refresh_failed"

OnEvent = Callable[[str, Mapping[str, str | float | bool]], None]
_NEVER = float("-inf")


class StaticToken(TokenSource):
    """The token of ``auth.access_token``, which cannot be renewed.

    :raises ValueError: not valid in a header.
    """

    def __init__(self, access_token: str) -> None:
        self._token = access_token.strip()
        if not re.fullmatch(r"[\x21-\x7e]+", self._token):
            raise ValueError("auth.access_token is empty or contains characters that are not valid in an access token")

    def __repr__(self) -> str:
        return "StaticToken(...)"

    async def token(self) -> str:
        return self._token

    async def renew(self, rejected: str) -> str:
        """:raises CredentialsUnavailable: always, unless ``rejected`` is another token."""
        if rejected != self._token:
            return self._token
        raise TokenFailure(FailureCause.STATIC_REFUSED).error()

    async def aclose(self) -> None:
        """There is nothing to release."""


def equal_jitter(delay: float) -> float:
    """A random delay from half of ``delay`` to all of it, so that several gateways do not retry in step."""
    return random.uniform(delay / 2, delay)  # noqa: S311  no secret depends on it


def _ignore_event(_name: str, _detail: Mapping[str, str | float | bool]) -> None:
    """The default ``on_event``."""


class GoogleTokens(TokenSource):
    """Tokens of Google credentials. Bound to one event loop; construction does no I/O.

    :param loader: loads the credentials, see ``loaders``; called in the thread when first needed, and again after
        Google rejected them, because they may have been replaced.
    :param clock: monotonic seconds. If it stops while the machine sleeps, a token may have expired on waking:
        Vertex AI responds 401, and ``renew`` replaces it.
    :param jitter: delay -> delay, applied to the backoff.
    :param on_event: called on the loop with one of the EVENT names and values without secrets.
    :param timeout: seconds, see ATTEMPT_TIMEOUT.
    :param sleep: see ``loaders.fetch_token``; called in the thread.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float], float] = equal_jitter,
        on_event: OnEvent = _ignore_event,
        timeout: float = ATTEMPT_TIMEOUT,
        trust: Trust = NO_TRUST,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._loader = loader
        self._trust = trust
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._on_event = on_event
        self._timeout = timeout

        self._token = ""
        self._refresh_at = _NEVER  # until then the token is returned without a refresh
        self._expires_at = _NEVER
        self._renewed_at = _NEVER
        self._loaded: LoadedCredentials | None = None
        self._project: str | None = None
        self._quota_project: str | None = None

        self._failure: TokenFailure | None = None
        self._failure_valid_until = _NEVER
        self._failed_version: FileVersion | None = None
        self._failures = 0

        self._current_attempt: asyncio.Task[AccessToken | TokenFailure] | None = None
        self._work: asyncio.Future[AccessToken | TokenFailure] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __repr__(self) -> str:
        kind = self._loaded.kind if self._loaded else "not loaded"
        return f"GoogleTokens({kind}, {max(0.0, self.seconds_left):.0f} s left)"

    @property
    def project(self) -> str | None:
        """The project of the credentials; None before the first token."""
        return self._project

    @property
    def quota_project(self) -> str | None:
        """Value for ``x-goog-user-project``, if any; None before the first token."""
        return self._quota_project

    @property
    def seconds_left(self) -> float:
        """How long the current token may still be used; 0 if there is none."""
        return max(0.0, self._expires_at - self._clock())

    @property
    def last_failure(self) -> TokenFailure | None:
        """Why the last attempt failed; None if it succeeded or none was made."""
        return self._failure

    async def token(self) -> str:
        """A valid token; suspends only if there is none.

        :raises CredentialsUnavailable: no token could be obtained; repeated for FAILURE_TTL seconds.
        """
        now = self._clock()
        if now < self._refresh_at:
            return self._token
        if now < self._expires_at:
            self._start()
            return self._token
        return await self._new_token()

    async def renew(self, rejected: str) -> str:
        """A token other than ``rejected``.

        Until it arrives, other callers get the current token: if the rejection was spurious and the token endpoint is
        down, one failed request is better than an outage.

        :raises CredentialsUnavailable: no token could be obtained, or Google issued the same one, or the rejected one
            was just renewed (a Vertex AI that rejects everything must not cause a new token per request).
        """
        now = self._clock()
        if self._token != rejected and now < self._expires_at:
            return self._token
        if now < self._renewed_at + FAILURE_TTL:
            raise TokenFailure(FailureCause.FRESH_TOKEN_REJECTED).error()
        token = await self._new_token()
        self._renewed_at = self._clock()
        if token == rejected:
            raise TokenFailure(FailureCause.SAME_TOKEN).error()
        return token

    async def aclose(self) -> None:
        """Stop refreshing; waiting callers get CredentialsUnavailable. Does not wait for the thread. Idempotent."""
        self._closed = True
        self._cancel_timer()
        if self._current_attempt is not None:
            self._current_attempt.cancel()
            await asyncio.wait([self._current_attempt])

    async def _new_token(self) -> str:
        """Wait for the running attempt, or start one. Cancelling a caller does not cancel the attempt."""
        is_same = self._failure is None or file_version(self._loader) == self._failed_version
        if self._current_attempt is None and self._failure is not None and is_same:
            retry_after = self._failure_valid_until - self._clock()
            if retry_after > 0:
                raise self._failure.error(retry_after=retry_after)
        attempt = self._start()
        if attempt is None:
            raise TokenFailure(FailureCause.CLOSED).error()
        await asyncio.wait([attempt])  # unlike awaiting the task, this propagates no cancellation in either direction
        if attempt.cancelled():
            raise TokenFailure(FailureCause.CLOSED).error()
        outcome = attempt.result()
        if isinstance(outcome, TokenFailure):
            raise outcome.error(retry_after=FAILURE_TTL)
        return outcome.token

    def _start(self) -> asyncio.Task[AccessToken | TokenFailure] | None:
        """The running attempt, started if necessary; None once closed."""
        if self._current_attempt is None and not self._closed:
            self._cancel_timer()
            self._current_attempt = asyncio.get_running_loop().create_task(self._attempt(), name="google-token")
        return self._current_attempt

    async def _attempt(self) -> AccessToken | TokenFailure:
        version = file_version(self._loader)  # before the attempt: a change during it is seen at the next call
        try:
            if self._work is None:
                self._work = self._in_thread()
                self._work.add_done_callback(self._on_done)
            work = self._work
            await asyncio.wait([work], timeout=self._timeout)
            late = TokenFailure(FailureCause.TIMEOUT, f"no result after {self._timeout:g} s", version)
            outcome = work.result() if work.done() else late
            if isinstance(outcome, TokenFailure):
                self._record_failure(outcome)
            return outcome
        finally:
            self._current_attempt = None

    def _in_thread(self) -> asyncio.Future[AccessToken | TokenFailure]:
        result: Future[AccessToken | TokenFailure] = Future()
        result.set_running_or_notify_cancel()  # it cannot be cancelled any more, so the thread can always set it
        loader, loaded, clock, trust, sleep = self._loader, self._loaded, self._clock, self._trust, self._sleep

        def run() -> None:
            result.set_result(fetch_token(loader, loaded, clock, trust, sleep))

        try:
            threading.Thread(target=run, name="google-token", daemon=True).start()
        except RuntimeError:
            result.set_result(
                TokenFailure(
                    FailureCause.UNEXPECTED,
                    "could not start a thread; a limit of processes was reached",
                    file_version(loader),
                )
            )
        return asyncio.wrap_future(result)

    def _on_done(self, work: asyncio.Future[AccessToken | TokenFailure]) -> None:
        """The thread has ended. Its token is used even if the attempt has timed out."""
        self._work = None
        outcome = work.result()
        if isinstance(outcome, AccessToken) and not self._closed:
            self._store(outcome)

    def _store(self, token: AccessToken) -> None:
        self._token = token.token
        self._expires_at = token.received_at + token.lifetime - min(EXPIRY_MARGIN, token.lifetime / 10)
        self._refresh_at = token.received_at + token.lifetime * REFRESH_RATIO
        self._loaded = token.loaded
        self._project = token.loaded.project
        self._quota_project = token.loaded.credentials.quota_project_id
        self._failure, self._failures = None, 0
        self._schedule_refresh(self._refresh_at - self._clock())
        self._on_event(EVENT_REFRESHED, {"kind": token.loaded.kind, "lifetime_s": round(token.lifetime, 1)})

    def _record_failure(self, failure: TokenFailure) -> None:
        now = self._clock()
        delay = self._jitter(min(MAX_BACKOFF, INITIAL_BACKOFF * 2 ** min(self._failures, 10)))
        self._failures += 1
        self._failure = failure
        self._failure_valid_until = now + FAILURE_TTL
        self._failed_version = failure.version
        self._refresh_at = min(now + delay, self._expires_at)
        if not failure.transient:
            self._loaded = None
        self._schedule_refresh(delay)
        self._on_event(
            EVENT_REFRESH_FAILED,
            {
                "cause": failure.cause.value,
                "detail": failure.detail or "",
                "retry_in_s": round(delay, 1),
                "token_left_s": round(self.seconds_left, 1),
            },
        )

    def _schedule_refresh(self, delay: float) -> None:
        """Refresh after ``delay`` seconds, even without a request for a token.

        Not called after ``aclose``: that cancels the attempt, and a late token is not stored.
        """
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, delay), self._start)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
