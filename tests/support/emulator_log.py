"""What an emulator has received, for tests that have one of their own."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

Json = dict[str, Any]


class Received:
    """The requests that reached the emulator at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def all(self) -> list[Json]:
        """Every request, oldest first: ``path``, ``headers``, ``body``, ``status``, ``outcome``."""
        with urllib.request.urlopen(f"{self._url}/_emulator/requests") as reply:
            requests: list[Json] = json.load(reply)["requests"]
        return requests

    def of(self, model: str) -> list[Json]:
        """Bodies of the requests to a model, oldest first."""
        return [request["body"] for request in self.all() if f"/{model}" in request["path"]]

    def forget(self) -> None:
        urllib.request.urlopen(f"{self._url}/_emulator/reset", data=b"").close()
