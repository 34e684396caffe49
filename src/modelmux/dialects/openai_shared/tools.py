"""Tools that take free text, the web search tool, and errors that list the declared tools."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from modelmux.claude.notices import Notices
from modelmux.dialects.openai_shared.foreign.rewrite import is_type_name, unread
from modelmux.errors import InvalidRequest

#: The loop of a server tool pauses after ten searches; a reply that pauses more often than this is not continued.
MAX_CONTINUATIONS: Final = 5
#: The schema of a tool that takes free text.
FREE_TEXT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
}
#: Names of declared tools that an error lists, and characters of each.
_MAX_LISTED: Final = 10
_MAX_NAME: Final = 64
_SEPARATORS: Final = re.compile(r"[_.]+")
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


def quoted(name: Any) -> str | None:
    """The name of a tool that is not declared, in quotes; None for what does not look like a name, which may be a
    secret."""
    return f"'{name}'" if isinstance(name, str) and is_type_name(_SEPARATORS.sub("_", name)) else None


def _cut(name: str) -> str:
    """The name of a declared tool: cut, and without control characters."""
    shown = name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"
    return "'{}'".format("".join(c if c.isprintable() else "\ufffd" for c in shown))


def listed(names: Iterable[str]) -> str:
    """Names of declared tools as an error lists them; "no tool" if there are none."""
    unique = list(dict.fromkeys(names))
    shown = [_cut(name) for name in unique[:_MAX_LISTED]]
    if len(unique) > _MAX_LISTED:
        shown.append(f"{len(unique) - _MAX_LISTED} more")
    if len(shown) < 2:
        return "".join(shown) or "no tool"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def undeclared(message: str, declared: Iterable[str], field: str) -> InvalidRequest:
    """The error for a choice of a tool that is not declared.

    :param declared: the client's names of the tools that are.
    """
    names = list(declared)
    if names:
        hint = f"'tools' declares {listed(names)}; name one of these, or use tool_choice 'auto'."
    else:
        hint = "Declare it in 'tools', or use tool_choice 'auto'."
    return InvalidRequest(message, param=field, hint=hint)
