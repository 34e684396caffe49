"""The records of requests, and what was captured of them, in the state directory of a configuration; or why there are
none, and what to do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from modelmux.cli.output import exit_with_config_error, exit_with_error
from modelmux.cli.sanitize import one_line
from modelmux.config import Config, ConfigError
from modelmux.config.keeps_traces import keeps_traces
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.file_kinds import has_sqlite
from modelmux.store.files import state_directory

if TYPE_CHECKING:
    from modelmux.store.captures.record import Capture
    from modelmux.store.traces.reader import FoundTraces
    from modelmux.store.traces.record import TracedRequest

_TURN_ON: Final = "Set traces.enabled = true in the configuration, and restart the gateway."
#: Microseconds after the end of a request.
_WRITTEN_AFTER: Final = 5_000_000
_AS_ITS_USER: Final = "Run it as the user of the gateway, who alone can read its records."


class Records:
    """Those of the gateway of a configuration; exits where they cannot be read."""

    def __init__(self, config: Config) -> None:
        if not has_sqlite():
            exit_with_error(["this Python has no module sqlite3"], "Use a Python with it: it reads the records.")
        try:
            self._is_on = keeps_traces(config)
            self._directory = state_directory(config.server.state_dir, os.environ)
        except ConfigError as error:
            exit_with_config_error(error)
        except RuntimeError:
            exit_with_error(["there is no home directory"], "Set server.state_dir to that of the gateway.")
        self._config = config

    def find(self, id: str | None, count: int) -> FoundTraces:
        """At least one record: those with an id, or the latest ones."""
        from modelmux.store.traces.reader import FoundTraces
        from modelmux.store.traces.record import Trace

        found = self.read(id, count)
        if found.traces:
            return found
        capture = None if id is None else self.capture(id)
        if capture is not None:  # which is kept longer
            return FoundTraces([Trace(capture.request)])
        self._exit_unknown(id)

    def read(self, id: str | None, count: int) -> FoundTraces:
        """Maybe none."""
        from modelmux.store.traces.reader import read_traces

        try:
            return read_traces(self._directory, id, count, _now())
        except StoreFailed as error:
            exit_with_error([str(error)], _AS_ITS_USER)

    def capture(self, id: str, at: int | None = None) -> Capture | None:
        """What was captured of a request. :param at: when it arrived, if that is known."""
        from modelmux.store.captures.reader import read_capture

        try:
            return read_capture(self._directory, id, self._config.capture.days, _now(), at)
        except StoreFailed as error:
            exit_with_error([str(error)], _AS_ITS_USER)

    def missing_capture(self, request: TracedRequest) -> str:
        """Why there are no bodies of a request that was to be captured."""
        if _now() - request.at - request.duration_ms * 1_000 < _WRITTEN_AFTER:
            return "its bodies are not written yet: ask again in a moment"
        return (
            f"its bodies were captured and are not there any more: they are kept for {self._config.capture.days} days "
            "and within the bounds of [capture]; the log says if they could not be written"
        )

    def _exit_unknown(self, id: str | None) -> NoReturn:
        from modelmux.store.traces.sqlite_traces import DAYS, FILE_NAME, MOST_REQUESTS

        path = self._directory / FILE_NAME
        if not path.exists():
            self._exit_without_file(path)
        hints = [] if self._is_on else [f"No records are kept at the moment. {_TURN_ON}"]
        if id is None:
            exit_with_error(["there are no records of requests yet"], hints)
        bounds = (
            f"The latest {MOST_REQUESTS:,} requests are kept, for {DAYS} days at most. A request is there a second "
            "after its end. `modelmux trace` lists the latest; the log also has requests without a valid key. "
            "Of several nodes, each has what it served itself."
        )
        exit_with_error([f"no request has the id {one_line(id)}"], [*hints, bounds])

    def _exit_without_file(self, path: Path) -> NoReturn:
        if not self._is_on:
            exit_with_error(["no records of requests are kept"], _TURN_ON)
        hint = (
            "It is made with the first request. If the gateway runs as another user or a service, run this as that "
            "user, or pass its directory: --set server.state_dir=…"
        )
        exit_with_error([f"there are no records of requests: {path} does not exist"], hint)


def _now() -> int:
    """Microseconds in UTC."""
    return round(Runtime().now() * 1_000_000)
