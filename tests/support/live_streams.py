"""Requests of clients that run for long: each on a connection of its own, read in a thread."""

from __future__ import annotations

import threading

from support.dashboard_gateway import DashboardGateway

#: A prompt to the emulator, whose reply takes minutes.
STORY = f"[[emulator: tokens_per_second=4]] say exactly: {'once upon a time ' * 200}"


class Streams:
    """:ivar bodies, statuses: of those that are over, by the names they were started with."""

    def __init__(self, gateway: DashboardGateway, secret: str) -> None:
        self._gateway = gateway
        self._secret = secret
        self._threads: list[threading.Thread] = []
        self.bodies: dict[str, str] = {}
        self.statuses: dict[str, int] = {}

    def start(self, name: str, *, stream: bool = True) -> None:
        """:param name: its ``x-request-id``."""
        thread = threading.Thread(target=self._read, args=(name, stream))
        self._threads.append(thread)
        thread.start()

    def _read(self, name: str, stream: bool) -> None:
        response = self._gateway.ask(self._secret, STORY, stream=stream, request_id=name, max_tokens=4000)
        self.statuses[name], self.bodies[name] = response.status_code, response.text

    def end_all(self) -> None:
        """Have an administrator end those that run."""
        for one in self._gateway.api("GET", "/live?limit=1000")["data"]:
            self._gateway.api("POST", f"/live/{one['id']}/end")
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(100)
            assert not thread.is_alive()
