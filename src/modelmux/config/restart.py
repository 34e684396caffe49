"""Which changes of settings a running process cannot take over."""

from __future__ import annotations

import operator

from modelmux.config.schema import Config


def restart_needed(before: Config, after: Config) -> list[str]:
    """The names of changed settings that a running process cannot take over."""
    fixed = [
        "server.host", "server.port", "server.reuse_port", "server.log_level", "server.log_format",
        "server.drain_delay", "server.drain_timeout", "server.state_dir", "server.workers", "responses.store",
        "responses.ttl", "responses.max_bytes", "accounts.tags", "accounts.retention",
        "accounts.webhook", "accounts.webhook_secret", "admin.listen", "metrics", "logs", "tls", "traces",
    ]  # fmt: skip
    get = operator.attrgetter(*fixed)
    return [name for name, old, new in zip(fixed, get(before), get(after), strict=True) if old != new]
