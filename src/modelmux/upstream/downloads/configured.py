"""The settings of downloads, from the configuration."""

from __future__ import annotations

from modelmux.config import Config
from modelmux.upstream.downloads.fetcher import FetchSettings


def fetch_settings(config: Config) -> FetchSettings:
    """What may be downloaded."""
    fetch = config.fetch
    return FetchSettings(
        enabled=fetch.enabled,
        allow=tuple(fetch.allow),
        deny=tuple(fetch.deny),
        allow_private=tuple(fetch.allow_private),
        extra_ports=tuple(fetch.extra_ports),
        timeout=fetch.timeout,
        max_bytes=fetch.max_bytes,
    )
