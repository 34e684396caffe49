"""Waits for announcements of changes (LISTEN) on a connection of its own, which must not go through PgBouncer.

They only make a look come earlier. While there is no connection, the looks that come anyway are all there is.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from typing import Any, Final

from modelmux.config.postgres_url import PostgresUrl
from modelmux.store.postgres.problems import is_of_server
from modelmux.store.postgres.session import connect
from modelmux.store.postgres.thread import PostgresThread

#: Seconds between two attempts to connect: the first pause, and the longest.
PAUSES: Final = (0.5, 30.0)
#: Seconds between two looks whether the server still answers, and for its answer. A connection that only listens sends
#: nothing, so it would never learn that a firewall forgot it, or that the machine of the server is gone.
LOOKS_EVERY: Final = 30.0
_ANSWERS_WITHIN: Final = 5.0


class Listener:
    """
    :param channel: its name is a constant of the program.
    """

    def __init__(self, url: PostgresUrl, channel: str) -> None:
        self._url = url
        self._channel = channel
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._listening: Future[None] | None = None  # which has to be referred to, or its task is collected
        self._is_announced = False  # while there was no wait

    async def wait(self, thread: PostgresThread) -> None:
        """Until something is announced; or was, since the last wait.

        :param thread: has the event loop of the connection.
        """
        if self._listening is None or self._listening.done():
            self._listening = thread.submit(self._listen())
        event = asyncio.Event()
        self._waiting[event] = asyncio.get_running_loop()
        try:
            if not self._is_announced:
                await event.wait()
            self._is_announced = False
        finally:
            del self._waiting[event]

    def close(self) -> None:
        """The thread ends the connection when it is closed. Idempotent."""
        self._waiting.clear()

    def _announce(self, *_: Any) -> None:
        self._is_announced = True
        for event, loop in list(self._waiting.items()):
            loop.call_soon_threadsafe(event.set)

    async def _listen(self) -> None:
        pause = PAUSES[0]
        while True:
            try:
                connection = await connect(self._url)
            except Exception as error:
                if not is_of_server(error):
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSES[1])
                continue
            pause = PAUSES[0]
            try:
                await self._listen_on(connection)
            finally:
                connection.terminate()
            await asyncio.sleep(pause)

    async def _listen_on(self, connection: Any) -> None:
        """Until the connection ends."""
        ended = asyncio.Event()
        connection.add_termination_listener(lambda *_: ended.set())
        try:
            await connection.add_listener(self._channel, self._announce)
        except Exception as error:
            if not is_of_server(error):
                raise
            return
        self._announce()  # what was announced before is not repeated
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), LOOKS_EVERY)
                return
            try:
                await connection.fetchval("SELECT 1", timeout=_ANSWERS_WITHIN)
            except Exception as error:
                if not is_of_server(error):
                    raise
                return
