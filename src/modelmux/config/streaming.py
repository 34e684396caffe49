"""Settings -> stream modes: which client gets its stream in which pieces."""

from __future__ import annotations

from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config
from modelmux.routing.stream_mode import ClientRule, StreamModes


def build_stream_modes(config: Config) -> StreamModes:
    """The rules of ``[streaming]`` and ``[[streaming.clients]]``.

    :raises ConfigError: naming every entry that can never match.
    """
    streaming = config.streaming
    problems = [
        f"streaming.clients[{number}]: contains = {row.contains!r} needs the name of a header"
        for number, row in enumerate(streaming.clients)
        if row.contains is not None and not row.header
    ]
    if problems:
        raise ConfigError(problems, hint="Set header in addition to contains, or user_agent in place of contains.")
    rules = [ClientRule(row.mode, row.user_agent, row.header, row.contains) for row in streaming.clients]
    return StreamModes(streaming.mode, rules)
