"""Whether a configuration asks for records of requests."""

from __future__ import annotations

from modelmux.config.admin_check import admin_address
from modelmux.config.schema import Config


def keeps_traces(config: Config) -> bool:
    """By default where the admin API is served. :raises ConfigError: ``admin.listen`` is not an address."""
    enabled = config.traces.enabled
    return admin_address(config) is not None if enabled is None else enabled
