"""Facts about Claude models and the places that serve them, as data, and their look-ups. No decisions."""

from modelmux.catalog.lifecycle import lifecycle
from modelmux.catalog.locations import (
    Geography,
    Locations,
    location_in_path,
    location_of_host,
    locations,
    project_in_path,
)
from modelmux.catalog.models import WIDE_LOCATIONS, Catalog, ModelCard, builtin, normalise

__all__ = [
    "WIDE_LOCATIONS",
    "Catalog",
    "Geography",
    "Locations",
    "ModelCard",
    "builtin",
    "lifecycle",
    "location_in_path",
    "location_of_host",
    "locations",
    "normalise",
    "project_in_path",
]
