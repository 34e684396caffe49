"""Tools that take free text, and the web search tool."""

from __future__ import annotations

from typing import Any, Final

from modelmux.claude.notices import Notices
from modelmux.dialects.openai_shared.foreign.rewrite import unread

#: The loop of a server tool pauses after ten searches; a reply that pauses more often than this is not continued.
MAX_CONTINUATIONS: Final = 5
#: The schema of a tool that takes free text.
FREE_TEXT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
}
_LOCATION: Final = "Only city, region, country and timezone, as texts, are used."
_LOCATION_FIELDS: Final = ("city", "region", "country", "timezone")


def user_location(location: Any, notices: Notices, field: str) -> dict[str, str] | None:
    """The user's location as far as Claude accepts it, flat or in Chat Completions' form; a notice reports the rest."""
    if location is None:
        return None
    outside: dict[str, Any] = location if isinstance(location, dict) else {}
    nested = "approximate" in outside or outside.keys().isdisjoint(_LOCATION_FIELDS)
    approximate = outside.get("approximate") if nested else outside
    place = f"{field}.approximate" if nested else field
    fields: dict[str, Any] = approximate if isinstance(approximate, dict) else {}
    known = {k: fields[k] for k in _LOCATION_FIELDS if isinstance(fields.get(k), str) and fields[k]}
    if (
        not isinstance(location, dict)
        or not isinstance(approximate, dict | None)
        or any(fields.get(name) and name not in known for name in _LOCATION_FIELDS)
    ):
        notices.add("ignored", field, _LOCATION)
    unknown = [f"{field}.{name}" for name in unread(outside, "type", "approximate") if nested]
    unknown += [f"{place}.{name}" for name in unread(fields, "type", *_LOCATION_FIELDS)]
    for name in unknown:
        notices.ignore_unknown(name[:80], _LOCATION)
    return {"type": "approximate", **known} if isinstance(approximate, dict) else None
