"""Tools that take free text, and the web search tool."""

from __future__ import annotations

from typing import Any, Final

from modelmux.claude.notices import Notices

#: The loop of a server tool pauses after ten searches; a reply that pauses more often than this is not continued.
MAX_CONTINUATIONS: Final = 5
#: The schema of a tool that takes free text.
FREE_TEXT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
}
_LOCATION_FIELDS: Final = ("city", "region", "country", "timezone")


def user_location(location: Any, notices: Notices, field: str) -> dict[str, str] | None:
    """The user's location as far as Claude accepts it, flat or in Chat Completions' form; a notice reports the rest."""
    if location is None:
        return None
    approximate = location.get("approximate") if isinstance(location, dict) else location
    if (
        isinstance(location, dict)
        and "approximate" not in location
        and not location.keys().isdisjoint(_LOCATION_FIELDS)
    ):
        approximate = {name: value for name, value in location.items() if name != "type"}
    fields = approximate if isinstance(approximate, dict) else {}
    known = {k: fields[k] for k in _LOCATION_FIELDS if isinstance(fields.get(k), str) and fields[k]}
    if approximate is not None and (
        not isinstance(approximate, dict) or any(value and name not in known for name, value in fields.items())
    ):
        notices.add("ignored", field, "Only city, region, country and timezone, as texts, are used.")
    return {"type": "approximate", **known} if isinstance(approximate, dict) else None
