"""Geographies: whether a call stays inside one. Pure; the facts come from the catalog.

A geography is declared by an operator, for all models or for one. Whoever makes a call on behalf of a route (inference,
counting tokens, a fallback) asks ``inside`` first, or makes sure with ``Route.allows``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from modelmux.catalog import Locations


def inside(geography: str, location: str | None, facts: Locations) -> bool:
    """Whether a location lies in a geography. A location nobody knows, or none at all, lies in none."""
    if location is None or location not in facts.names:
        return False
    known = facts.geographies.get(geography)
    if known is None:
        more = "$|-" if geography[-1:].isdigit() else r"$|-|\d"  # europe-west1 is no prefix of europe-west12
        return re.match(f"{re.escape(geography)}(?={more})", location) is not None and location in facts.regions
    if location in known.excluded:
        return False
    return location in known.locations or location.startswith(known.prefixes)


def covers(geography: str, facts: Locations) -> list[str]:
    """The locations that lie in a geography; empty for a word that is no geography."""
    return [location for location in facts.names if inside(geography, location, facts)]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None."""
    near = difflib.get_close_matches(word.strip().lower(), list(known), n=1)
    return near[0] if near else None
