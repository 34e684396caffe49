"""Where Vertex AI can be called: the known locations, their geographies, and the location that a URL names.

The data is in ``locations.toml``. Facts and look-ups; what follows from them is decided elsewhere.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct, field

GLOBAL: Final = "global"
_PATH: Final = re.compile(r"/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/")
_HOSTS: Final = (
    (re.compile(r"^aiplatform\.googleapis\.com$"), GLOBAL),
    (re.compile(r"^aiplatform\.([a-z0-9-]+)\.rep\.googleapis\.com$"), None),
    (re.compile(r"^([a-z0-9-]+)-aiplatform\.googleapis\.com$"), None),
)


class Geography(Struct, frozen=True, forbid_unknown_fields=True):
    """A named part of the world.

    :param locations: locations inside it.
    :param prefixes: every region whose name begins with one of them is inside,
    :param excluded: except these.
    """

    locations: tuple[str, ...] = field(default=(), name="places")
    prefixes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = field(default=(), name="outside")


class Locations(Struct, frozen=True, forbid_unknown_fields=True):
    """All known locations.

    :param count_tokens_locations: those that offer count-tokens, in order of preference.
    """

    multi_regions: tuple[str, ...]
    count_tokens_locations: tuple[str, ...]
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
    match = _PATH.search(urlsplit(url).path)
    return unquote(match["location"]) if match else None


def project_in_path(url: str) -> str | None:
    """The project in the resource path of a Vertex AI URL, or None."""
    match = _PATH.search(urlsplit(url).path)
    return unquote(match["project"]) if match else None


def location_of_host(url: str) -> str | None:
    """The location that a Google API host belongs to; None for any other host."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    for pattern, location in _HOSTS:
        match = pattern.match(host)
        if match:
            return location or match[1]
    return None
