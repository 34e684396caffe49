"""Geographies: whether a location lies in one. Pure; the facts come from the catalog.

An operator sets a geography for all models or for one. Before any call on behalf of a route (inference, counting
tokens, a fallback), the caller checks the location with ``contains`` or ``Route.allows``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from modelmux.catalog import Locations


def contains(geography: str, location: str | None, facts: Locations) -> bool:
    """Whether a location lies in a geography. An unknown location, or None, lies in no geography."""
    if location is None or location not in facts.names:
        return False
    entry = facts.geographies.get(geography)
    if entry is None:
        boundary = "$|-" if geography[-1:].isdigit() else r"$|-|\d"  # europe-west1 does not contain europe-west12
        return re.match(f"{re.escape(geography)}(?={boundary})", location) is not None and location in facts.regions
    if location in entry.excluded:
        return False
    return location in entry.locations or location.startswith(entry.prefixes)


def locations_in(geography: str, facts: Locations) -> list[str]:
    """The locations that lie in a geography; empty for an unknown geography."""
    return [location for location in facts.names if contains(geography, location, facts)]


def closest_match(word: str, known: Iterable[str]) -> str | None:
    """The known word most similar to ``word``; None if none is similar."""
    matches = difflib.get_close_matches(word.strip().lower(), list(known), n=1)
    return matches[0] if matches else None
