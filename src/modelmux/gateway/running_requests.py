"""Requests that run in this process, so that they can be listed, and ended before their time.

Those of a key that was revoked with ``--now`` are ended: that is a field of the key's record, so every process that
reads the directory sees it, whoever wrote it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Protocol

from modelmux.accounts.access import revocation
from modelmux.accounts.directory import Directory
from modelmux.dialects.base import Inbound
from modelmux.errors import GatewayError
from modelmux.gateway.client_stream import ClientStream


class Running(Protocol):
    """A request; ``gateway/exchange.py`` has the real one."""

    @property
    def inbound(self) -> Inbound: ...

    @property
    def client(self) -> ClientStream: ...


class RunningRequests:
    """In the order of their arrival. A request pays for one entry of a dictionary, whatever is done with it here."""

    def __init__(self) -> None:
        self._tasks: dict[Running, asyncio.Task[Any] | None] = {}
        self._numbers: dict[Running, int] = {}  # of those that were listed
        self._listed = 0

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """That in which requests run; None while none does. For other threads."""
        task = next((one for one in list(self._tasks.values()) if one is not None), None)
        return None if task is None else task.get_loop()

    def __reversed__(self) -> Iterator[Running]:
        """Those of now, the newest first."""
        return reversed(list(self._tasks))

    def add(self, request: Running) -> None:
        """Call in the task that answers it."""
        self._tasks[request] = asyncio.current_task()

    def discard(self, request: Running) -> None:
        self._tasks.pop(request, None)
        if self._numbers:
            self._numbers.pop(request, None)

    def number(self, request: Running) -> int:
        """Of a request that runs: unique in this process, and the same each time."""
        number = self._numbers.get(request)
        if number is None:
            self._listed += 1
            number = self._numbers[request] = self._listed
        return number

    def numbered(self, number: int) -> Running | None:
        """The request of a number that was told; None if it is over."""
        return next((request for request, its in self._numbers.items() if its == number), None)

    def end(self, request: Running, error: GatewayError) -> bool:
        """End a request early; its client gets the error, if it still can. Call in the event loop.

        :returns: whether it ran, and was not told all of its response yet.
        """
        task = self._tasks.get(request)
        if task is None or request.client.ended:
            return False
        request.client.end_with(error, task)
        return True

    def end_revoked(self, directory: Directory) -> None:
        """End those whose key says so. Call in the event loop.

        What a change of the directory costs depends on what runs, not on how many keys there are.
        """
        for request in list(self._tasks):
            caller = request.inbound.caller
            record = directory.keys.get(caller.owner) if caller.is_account else None
            if record is not None and record.status == "revoked" and record.ends_requests:
                self.end(request, revocation(directory, record))
