"""Which changes of settings a running process cannot take over."""

from __future__ import annotations

import operator
from typing import Final

from modelmux.config.conversations_check import shares_conversations
from modelmux.config.schema import Config

#: Settings of a running process. A name without a dot stands for its table.
FIXED: Final = (
    "server.host", "server.port", "server.reuse_port", "server.log_level", "server.log_format",
    "server.drain_delay", "server.drain_timeout", "server.state_dir", "server.workers", "responses.store",
    "responses.ttl", "responses.max_bytes", "thinking", "accounts.tags", "accounts.retention",
    "accounts.webhook", "accounts.webhook_secret", "accounts.webhook_networks", "admin.listen", "metrics.max_teams",
    "limits.redis", "metrics.tag", "metrics.tag_values", "telemetry.genai", "logs", "tls", "traces", "capture",
)  # fmt: skip


def restart_needed(before: Config, after: Config) -> list[str]:
    """The names of changed settings that a running process cannot take over."""
    fixed = list(FIXED)
    if shares_conversations(before):
        fixed.append("server.seal_keys")
    get = operator.attrgetter(*fixed)
    return [name for name, old, new in zip(fixed, get(before), get(after), strict=True) if old != new]
