"""The spellings of web search. All of them mean Vertex AI's server tool ``web_search_20250305``."""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.claude.notices import Notices
from modelmux.dialects.openai_shared.caching import read_breakpoint
from modelmux.dialects.openai_shared.foreign.rewrite import unread
from modelmux.dialects.openai_shared.tools import user_location
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.common import CacheControlParam

#: Anthropic's and OpenAI's types, dated or not; the names that Gemini, OpenRouter, Mistral and xAI have.
_TYPES: Final = re.compile(
    r"web_search(_preview)?([_-]\d{4}_?\d{2}_?\d{2})?|google_?search(_retrieval)?|openrouter:web_search"
    r"|web_search_premium|live_search",
    re.IGNORECASE,
)
#: The version that Vertex AI has; later ones need code execution, which it does not run.
_TYPE: Final = "web_search_20250305"
#: Anthropic's type with the date of a version. OpenAI's dates have underscores inside.
_VERSION: Final = re.compile(r"web_search[_-]\d{8}", re.IGNORECASE)
_USED: Final = ("user_location", "allowed_domains", "blocked_domains", "max_uses", "filters", "cache_control")
#: Values of options that Claude's web search does not have, and which ask for what it does anyway.
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "search_context_size": ("medium",),
    "external_web_access": (True,),
    "enable": (True,),
    "enabled": (True,),
}


def is_web_search(kind: str) -> bool:
    """Whether a type of tool is web search."""
    return _TYPES.fullmatch(kind) is not None


def report_version(kind: str, notices: Notices, field: str) -> None:
    """A notice for web search in another version of Anthropic's than Vertex AI has.

    :param field: path of the type.
    """
    if _VERSION.fullmatch(kind) and kind.lower().replace("-", "_") != _TYPE:
        notices.add("changed", field, f"Vertex AI offers {_TYPE}.")


def is_switched_off(options: dict[str, Any]) -> bool:
    """Whether the options of a web search tool say that nothing is to be searched, as Zhipu's do."""
    return options.get("enable") is False or options.get("enabled") is False


def web_search_tool(options: dict[str, Any], notices: Notices, field: str) -> anthropic.WebSearch:
    """The server tool with its options; a notice reports each one that Claude's web search does not have.

    :param field: path of the options.
    :raises InvalidRequest: an option with an impossible value.
    """
    filters = options.get("filters")
    if filters is not None and not isinstance(filters, dict):
        notices.add("ignored", f"{field}.filters", "Filters are an object.")
        filters = None
    for name in unread(options, *_USED):
        if options[name] not in _NEUTRAL.get(name, ()):
            notices.ignore_unknown(f"{field}.{name[:80]}", "Claude's web search does not have this setting.")
    for name in unread(filters or {}, "allowed_domains", "blocked_domains"):
        notices.ignore_unknown(f"{field}.filters.{name[:80]}", "Claude's web search does not have this setting.")
    allowed = _domains("allowed_domains", options, filters, notices, field)
    blocked = _domains("blocked_domains", options, filters, notices, field)
    if allowed and blocked:
        raise _invalid(f"{field}.blocked_domains", "It excludes 'allowed_domains'.")
    return anthropic.WebSearch(
        "web_search",
        max_uses=_uses(options.get("max_uses"), f"{field}.max_uses"),
        allowed_domains=allowed,
        blocked_domains=blocked,
        user_location=user_location(options.get("user_location"), notices, f"{field}.user_location"),
        cache_control=_breakpoint(options.get("cache_control"), notices, field),
    )


def _domains(name: str, options: dict[str, Any], filters: Any, notices: Notices, field: str) -> list[str] | None:
    value = options.get(name)
    if value is None and filters:
        value, field = filters.get(name), f"{field}.filters"
    if value is None:
        return None
    if not isinstance(value, list):
        raise _invalid(f"{field}.{name}", "It must be a list of domains.")
    domains = [domain for domain in value if isinstance(domain, str) and domain]
    if len(domains) < len(value):
        notices.add("ignored", f"{field}.{name}", "A domain is a text.")
    return domains or None


def _breakpoint(marker: Any, notices: Notices, field: str) -> anthropic.CacheControl | None:
    if marker is None:
        return None
    if not isinstance(marker, dict):
        raise _invalid(f"{field}.cache_control", "It must be an object.")
    for name in unread(marker, "type", "ttl"):
        notices.ignore_unknown(f"{field}.cache_control.{name}"[:80], "Not a member of a breakpoint.")
    return read_breakpoint(CacheControlParam(ttl=marker.get("ttl")), None, field)


def _uses(value: Any, field: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise _invalid(field, "It must be a positive number.")


def _invalid(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid value for '{field}'.", param=field, hint=reason)
