"""Where Vertex AI can be called: the known locations, their geographies, and the location a URL speaks of.

``locations.toml`` beside this file is the data. Facts and look-ups; what follows from them is decided elsewhere.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

GLOBAL: Final = "global"
_PATH: Final = re.compile(r"/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/")
_HOSTS: Final = (
    (re.compile(r"^aiplatform\.googleapis\.com$"), GLOBAL),
    (re.compile(r"^aiplatform\.([a-z0-9-]+)\.rep\.googleapis\.com$"), None),
    (re.compile(r"^([a-z0-9-]+)-aiplatform\.googleapis\.com$"), None),
)


class Geography(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the world under a name: locations, prefixes of regions, and the regions that are none of it."""

    places: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


class Locations(Struct, frozen=True, forbid_unknown_fields=True):
    """All that is known of places."""

    multi_regions: tuple[str, ...]
    regions: tuple[str, ...]
    geographies: dict[str, Geography]

    @property
    def names(self) -> tuple[str, ...]:
        """Every location: ``global``, the multi-regions, the regions."""
        return (GLOBAL, *self.multi_regions, *self.regions)


@cache
def locations() -> Locations:
    """The locations that ship with the package."""
    text = resources.files(__package__).joinpath("locations.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Locations)


def location_in_path(url: str) -> str | None:
    """The location in the resource path of a Vertex AI URL, or None."""
    found = _PATH.search(urlsplit(url).path)
    return unquote(found["location"]) if found else None


def project_in_path(url: str) -> str | None:
    """The project in the resource path of a Vertex AI URL, or None."""
    found = _PATH.search(urlsplit(url).path)
    return unquote(found["project"]) if found else None


def location_of_host(url: str) -> str | None:
    """The location that a Google API host belongs to; None for a host of somebody else."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    for pattern, location in _HOSTS:
        found = pattern.match(host)
        if found:
            return location or found[1]
    return None
