"""Facts about Claude models and the locations that serve them, as data, and their look-ups. No decisions."""

from modelmux.catalog.lifecycle import lifecycle_warning
from modelmux.catalog.locations import (
    Geography,
    Locations,
    location_in_path,
    location_of_host,
    locations,
    project_in_path,
)
from modelmux.catalog.models import MULTI_REGION_LOCATIONS, Catalog, ModelCard, builtin, normalise

__all__ = [
    "MULTI_REGION_LOCATIONS",
    "Catalog",
    "Geography",
    "Locations",
    "ModelCard",
    "builtin",
    "lifecycle_warning",
    "location_in_path",
    "location_of_host",
    "locations",
    "normalise",
    "project_in_path",
]
