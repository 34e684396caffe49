"""One attempt to deliver to a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from modelmux.errors import GatewayError
from modelmux.gateway.metering.webhook import TIMEOUT, Endpoint
from modelmux.runtime import Runtime
from modelmux.upstream.base import Upstream
from modelmux.upstream.downloads.url_guard import DownloadRefused

#: A reply to a webhook is not read, but for the end of it, so that the connection can be used again.
_MOST_READ: Final = 64 * 1024


class Sender:
    """
    :param open_guarded: opens what connects to public addresses only; used from the first delivery on.
    """

    def __init__(self, runtime: Runtime, open_guarded: Callable[[], Upstream]) -> None:
        self._runtime = runtime
        self._open_guarded = open_guarded
        self._guarded: Upstream | None = None

    async def send(
        self, upstream: Upstream, endpoint: Endpoint, delivery: str, body: bytes
    ) -> tuple[int | None, str | None]:
        """Send once, follow no redirect, and read no more of the reply than its status.

        :returns: the status of the reply, and what went wrong, without the URL, which may be a secret.
        """
        if endpoint.problem is not None:
            return None, endpoint.problem
        status: int | None = None
        problem: str | None = None
        try:
            async with asyncio.timeout(TIMEOUT):
                call = endpoint.call(body, delivery, int(self._runtime.now()))
                reply = await self._upstream(endpoint, upstream).send(call)
                status = reply.status
                try:
                    if 200 <= status < 300:
                        await reply.read(_MOST_READ)
                finally:
                    await reply.aclose()
        except TimeoutError:
            problem = f"no answer within {TIMEOUT:g} s"
        except DownloadRefused as error:
            problem = _REFUSED.get(error.reason, error.kind.name)
        except GatewayError as error:
            problem = error.kind.name
        if status is None:
            return None, problem
        return status, None if 200 <= status < 300 else f"it answered {status}"  # whatever became of its body

    async def aclose(self) -> None:
        """Idempotent."""
        guarded, self._guarded = self._guarded, None
        if guarded is not None:
            await guarded.aclose()

    def _upstream(self, endpoint: Endpoint, upstream: Upstream) -> Upstream:
        if not endpoint.guarded:
            return upstream
        if self._guarded is None:
            self._guarded = self._open_guarded()
        return self._guarded


_REFUSED: Final = {
    "host": "its host has an address that is not public",
    "unresolved": "its host name could not be resolved",
}
