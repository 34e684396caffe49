"""Google access tokens, kept fresh off the request's path.

``GoogleTokens`` is a cache with one writer. A token is handed out without suspending until 75 % of its life has
passed; then one refresh runs in the background, by a timer, so that even an idle gateway never makes a request wait.
Only when there is no valid token do callers wait, all for the same attempt.

    absent ──attempt──> fresh ──75 % of life──> stale ──end of life──> absent
                          ^                       │
                          └──── refreshed ────────┘    a failed refresh is tried again with backoff

google-auth blocks, so an attempt runs in a thread. At most one such thread exists: an attempt that outlives its
timeout gives its waiters an error, is joined by the next one instead of being repeated, and still delivers its token
if it gets one. The thread is a daemon because an executor's thread would hold up the end of the process while a
connection hangs.

What must not come in here: parsing of credentials, HTTP, the words of messages.
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
from modelmux.upstream.google_auth.failures import Cause, Failure
from modelmux.upstream.google_auth.loaders import Grant, Loaded, Loader, acquire

#: Share of its life after which a token is replaced.
REFRESH_AT = 0.75
#: Seconds before its end at which a token is no longer handed out: the request still has to reach Vertex AI.
END_MARGIN = 10.0
#: Seconds one attempt may keep its waiters; google-auth's own retries can take longer.
ATTEMPT_TIMEOUT = 30.0
#: Seconds for which a failure stands for all callers, so that they do not hammer the token endpoint.
FAILURE_STANDS = 2.0
#: Seconds between background attempts after a failure: the first, doubling to the last.
BACKOFF_FIRST = 5.0
BACKOFF_LAST = 60.0

#: What ``on_event`` is told; the caller knows that it is about credentials.
EVENT_REFRESHED = "refreshed"
EVENT_REFRESH_FAILED = "refresh_failed"

OnEvent = Callable[[str, Mapping[str, str | float | bool]], None]
_NEVER = float("-inf")


class StaticToken(TokenSource):
    """The token of ``auth.access_token``: nothing can renew it.

    :raises ValueError: the text cannot stand in a header.
    """

    def __init__(self, access_token: str) -> None:
        self._token = access_token.strip()
        if not re.fullmatch(r"[\x21-\x7e]+", self._token):
            raise ValueError("auth.access_token is empty or holds characters that no access token has")

    def __repr__(self) -> str:
        return "StaticToken(...)"

    async def token(self) -> str:
        return self._token

    async def renew(self, rejected: str) -> str:
        """:raises CredentialsUnavailable: always, unless ``rejected`` is another token."""
        if rejected != self._token:
            return self._token
        raise Failure(Cause.STATIC_REFUSED).error()

    async def aclose(self) -> None:
        """Nothing to let go of."""


def equal_jitter(delay: float) -> float:
    """Between half of ``delay`` and all of it, so that a fleet does not knock in step."""
    return random.uniform(delay / 2, delay)  # noqa: S311  no secret depends on it


def _ignore(_name: str, _detail: Mapping[str, str | float | bool]) -> None:
    """No one listens."""


class GoogleTokens(TokenSource):
    """Tokens of Google credentials. Belongs to one event loop; construction does no I/O.

    :param loader: where the credentials come from, see ``credential_loaders``; called in the thread when first
        needed, and again after Google refused them, because someone may have put new ones in their place.
    :param clock: seconds, monotonic. If it stops while the machine sleeps, a token may be dead on waking:
        Vertex AI answers 401 and ``renew`` heals it.
    :param jitter: delay -> delay, applied to the backoff.
    :param on_event: called on the loop with one of the EVENT names and figures without secrets.
    :param timeout: seconds, see ATTEMPT_TIMEOUT.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float], float] = equal_jitter,
        on_event: OnEvent = _ignore,
        timeout: float = ATTEMPT_TIMEOUT,
    ) -> None:
        self._loader = loader
        self._clock = clock
        self._jitter = jitter
        self._on_event = on_event
        self._timeout = timeout

        self._token = ""
        self._quiet_until = _NEVER  # until then the token is handed out without another thought
        self._dead_at = _NEVER
        self._renewed_at = _NEVER
        self._loaded: Loaded | None = None
        self._project: str | None = None
        self._quota_project: str | None = None

        self._failure: Failure | None = None
        self._failure_stands_until = _NEVER
        self._failures = 0

        self._flight: asyncio.Task[Grant | Failure] | None = None
        self._work: asyncio.Future[Grant | Failure] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __repr__(self) -> str:
        kind = self._loaded.kind if self._loaded else "not loaded"
        return f"GoogleTokens({kind}, {max(0.0, self.seconds_left):.0f} s left)"

    @property
    def project(self) -> str | None:
        """The project the credentials name; None before the first token."""
        return self._project

    @property
    def quota_project(self) -> str | None:
        """Value for ``x-goog-user-project``; None if there is none, and before the first token."""
        return self._quota_project

    @property
    def seconds_left(self) -> float:
        """How long the present token may still be handed out; 0 if there is none."""
        return max(0.0, self._dead_at - self._clock())

    @property
    def last_failure(self) -> Failure | None:
        """Why the last attempt failed; None if it succeeded or none was made."""
        return self._failure

    async def token(self) -> str:
        """A valid token; suspends only if there is none.

        :raises CredentialsUnavailable: none can be had; stands for FAILURE_STANDS seconds.
        """
        now = self._clock()
        if now < self._quiet_until:
            return self._token
        if now < self._dead_at:
            self._start()
            return self._token
        return await self._new_token()

    async def renew(self, rejected: str) -> str:
        """A token other than ``rejected``. Until it is there the others keep the present one: if the refusal was an
        accident and the token endpoint is down, one failed request beats an outage.

        :raises CredentialsUnavailable: none can be had, or Google hands out the same one, or the rejected one came
            from a ``renew`` a moment ago (a Vertex AI that refuses everything must not cost a grant per request).
        """
        now = self._clock()
        if self._token != rejected and now < self._dead_at:
            return self._token
        if now < self._renewed_at + FAILURE_STANDS:
            raise Failure(Cause.RENEWED_IN_VAIN).error()
        token = await self._new_token()
        self._renewed_at = self._clock()
        if token == rejected:
            raise Failure(Cause.SAME_TOKEN).error()
        return token

    async def aclose(self) -> None:
        """Stop refreshing; whoever waits gets CredentialsUnavailable. A thread still in a system call is left to end
        by itself. Idempotent."""
        self._closed = True
        self._disarm()
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])

    async def _new_token(self) -> str:
        """Wait for the attempt under way, or start one. A caller that is cancelled leaves it to the others."""
        if self._flight is None and self._failure is not None:
            stands_for = self._failure_stands_until - self._clock()
            if stands_for > 0:
                raise self._failure.error(retry_after=stands_for)
        flight = self._start()
        if flight is None:
            raise Failure(Cause.CLOSED).error()
        await asyncio.wait([flight])  # unlike awaiting the task, this passes a cancellation on in neither direction
        if flight.cancelled():
            raise Failure(Cause.CLOSED).error()
        outcome = flight.result()
        if isinstance(outcome, Failure):
            raise outcome.error(retry_after=FAILURE_STANDS)
        return outcome.token

    def _start(self) -> asyncio.Task[Grant | Failure] | None:
        """The one attempt under way, begun if need be; None once closed."""
        if self._flight is None and not self._closed:
            self._disarm()
            self._flight = asyncio.get_running_loop().create_task(self._attempt(), name="google-token")
        return self._flight

    async def _attempt(self) -> Grant | Failure:
        try:
            if self._work is None:
                self._work = self._in_thread()
                self._work.add_done_callback(self._landed)
            work = self._work
            await asyncio.wait([work], timeout=self._timeout)
            late = Failure(Cause.TIMEOUT, f"no result after {self._timeout:g} s")
            outcome = work.result() if work.done() else late
            if isinstance(outcome, Failure):
                self._note_failure(outcome)
            return outcome
        finally:
            self._flight = None

    def _in_thread(self) -> asyncio.Future[Grant | Failure]:
        result: Future[Grant | Failure] = Future()
        result.set_running_or_notify_cancel()  # from here on no one can cancel it, so the thread can always set it
        loader, loaded, clock = self._loader, self._loaded, self._clock

        def run() -> None:
            result.set_result(acquire(loader, loaded, clock))

        try:
            threading.Thread(target=run, name="google-token", daemon=True).start()
        except RuntimeError:
            result.set_result(Failure(Cause.UNEXPECTED, "no thread could be started; a limit on processes is reached"))
        return asyncio.wrap_future(result)

    def _landed(self, work: asyncio.Future[Grant | Failure]) -> None:
        """The thread has ended. Its token counts even if every waiter has given up on it."""
        self._work = None
        outcome = work.result()
        if isinstance(outcome, Grant) and not self._closed:
            self._adopt(outcome)

    def _adopt(self, grant: Grant) -> None:
        self._token = grant.token
        self._dead_at = grant.at + grant.life - min(END_MARGIN, grant.life / 10)
        self._quiet_until = grant.at + grant.life * REFRESH_AT
        self._loaded = grant.loaded
        self._project = grant.loaded.project
        self._quota_project = grant.loaded.credentials.quota_project_id
        self._failure, self._failures = None, 0
        self._arm(self._quiet_until - self._clock())
        self._on_event(EVENT_REFRESHED, {"kind": grant.loaded.kind, "lifetime_s": round(grant.life, 1)})

    def _note_failure(self, failure: Failure) -> None:
        now = self._clock()
        delay = self._jitter(min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** min(self._failures, 10)))
        self._failures += 1
        self._failure = failure
        self._failure_stands_until = now + FAILURE_STANDS
        self._quiet_until = min(now + delay, self._dead_at)
        if not failure.transient:
            self._loaded = None
        self._arm(delay)
        self._on_event(
            EVENT_REFRESH_FAILED,
            {
                "cause": failure.cause.value,
                "detail": failure.detail or "",
                "retry_in_s": round(delay, 1),
                "token_left_s": round(self.seconds_left, 1),
            },
        )

    def _arm(self, delay: float) -> None:
        """Refresh after ``delay`` seconds even if no one asks for a token until then. A closed source never gets
        here: its attempt is cancelled, and what the thread still brings is not adopted."""
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, delay), self._start)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
