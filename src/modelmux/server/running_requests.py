"""Requests of virtual keys that run in this process: those of a key that was revoked with ``--now`` are ended.

That is a field of the key's record, so every process that reads the directory sees it, whoever wrote it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from modelmux.accounts.access import revocation
from modelmux.accounts.directory import Directory
from modelmux.errors import GatewayError


class Endable(Protocol):
    """The response to one client."""

    def end_with(self, error: GatewayError, task: asyncio.Task[Any]) -> None:
        """End it early; it has to send the error, if it still can."""
        ...


class RunningRequests:
    """By key. What a change of the directory costs depends on what runs, not on how many keys there are."""

    def __init__(self) -> None:
        self._of: dict[str, dict[Endable, asyncio.Task[Any]]] = {}

    def add(self, key: str, client: Endable) -> None:
        """Call in the task that answers it."""
        task = asyncio.current_task()
        if task is not None:
            self._of.setdefault(key, {})[client] = task

    def discard(self, key: str, client: Endable) -> None:
        of_key = self._of.get(key)
        if of_key is not None:
            of_key.pop(client, None)
            if not of_key:
                del self._of[key]

    def end_revoked(self, directory: Directory) -> None:
        """End those whose key says so. Call in the event loop."""
        for key, clients in self._of.items():
            record = directory.keys.get(key)
            if record is not None and record.status == "revoked" and record.ends_requests:
                for client, task in clients.items():
                    client.end_with(revocation(directory, record), task)
