"""Settings -> stream modes: which client gets its stream in what pieces."""

from __future__ import annotations

from typing import Final

from modelmux.config.load import ConfigError
from modelmux.config.schema import Config, StreamClient
from modelmux.routing.stream_mode import ClientRule, Mode, StreamModes

#: What the settings call a mode -> the mode.
_MODES: Final[dict[str, Mode]] = {
    "standard": "standard",
    "always": "standard",
    "buffered": "buffered",
    "never": "never",
    "non-streaming": "never",
    "json": "json",
}


def build_stream_modes(config: Config) -> StreamModes:
    """The rules of ``[streaming]`` and ``[[streaming.clients]]``.

    :raises ConfigError: rows that cannot match what they say, all of them named.
    """
    streaming = config.streaming
    problems = [
        f"streaming.clients[{number}]: contains = {row.contains!r} says what a header holds, but not which"
        for number, row in enumerate(streaming.clients)
        if row.contains is not None and not row.header
    ]
    if problems:
        raise ConfigError(problems, hint="Set header beside contains, or user_agent instead of it.")
    return StreamModes(
        "auto" if streaming.mode == "auto" else _MODES[streaming.mode], [_rule(row) for row in streaming.clients]
    )


def _rule(row: StreamClient) -> ClientRule:
    return ClientRule(_MODES[row.mode], row.user_agent, row.header, row.contains)
