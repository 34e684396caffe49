"""Whether a configuration asks for records of requests."""

from __future__ import annotations

from modelmux.config.admin_check import admin_address
from modelmux.config.captures import captures
from modelmux.config.schema import Config


def keeps_traces(config: Config) -> bool:
    """By default where the admin API is served or bodies are captured.

    :raises ConfigError: ``admin.listen`` is not an address, or the settings of ``[capture]`` contradict others.
    """
    enabled = config.traces.enabled
    return captures(config) or (admin_address(config) is not None if enabled is None else enabled)
