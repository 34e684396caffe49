"""Cache breakpoints and options, in Anthropic's form and in OpenAI's."""

from __future__ import annotations

from typing import Any, Literal

from modelmux.claude.notices import Notices
from modelmux.claude.request import CacheOptions
from modelmux.dialects.openai_shared.foreign.rewrite import unread
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import CacheControl
from modelmux.wire.openai.common import CacheControlParam, PromptCacheBreakpoint


def read_breakpoint(
    marker: CacheControlParam | None, openai: PromptCacheBreakpoint | None, path: str
) -> CacheControl | None:
    """A client's breakpoint in either form: ``cache_control``, or OpenAI's ``prompt_cache_breakpoint``.

    :param path: of what holds it.
    :raises InvalidRequest: an unknown lifetime.
    """
    if marker is not None:
        return CacheControl("ephemeral", _ttl(marker.ttl, f"{path}.cache_control.ttl"))
    if openai is not None and openai.mode != "off":
        return CacheControl("ephemeral", _ttl(openai.ttl, f"{path}.prompt_cache_breakpoint.ttl"))
    return None


def read_options(
    options: dict[str, Any] | None,
    marker: CacheControlParam | None,
    orphan_breakpoint: CacheControl | None,
    notices: Notices,
) -> CacheOptions:
    """The request's options for caching.

    :param options: ``prompt_cache_options``.
    :param marker: ``cache_control`` of the request itself.
    :raises InvalidRequest: an unknown lifetime or mode.
    """
    if options is None and marker is None:
        return CacheOptions(orphan_breakpoint=orphan_breakpoint)
    options = options or {}
    mode = options.get("mode")
    if mode not in (None, "implicit", "explicit"):
        field = "prompt_cache_options.mode"
        raise InvalidRequest(f"Invalid value for '{field}'.", param=field, hint="Use implicit or explicit.")
    for name in unread(options, "mode", "ttl"):
        field = f"prompt_cache_options.{name[:80]}"
        notices.add("ignored", field, "Claude's prompt cache does not have this setting.")
    ttl = _ttl(options.get("ttl"), "prompt_cache_options.ttl")
    prompt_marker = CacheControl("ephemeral", _ttl(marker.ttl, "cache_control.ttl")) if marker is not None else None
    return CacheOptions(prompt_marker, orphan_breakpoint, mode == "explicit", ttl)


def _ttl(value: Any, field: str) -> Literal["5m", "1h"] | None:
    if value in (None, "5m"):
        return None
    if value in ("1h", "30m", "12h"):  # OpenAI's lifetimes: the next longer one Anthropic has, or the longest
        return "1h"
    raise InvalidRequest(f"Invalid value for '{field}'.", param=field, hint="Use 5m or 1h.")
