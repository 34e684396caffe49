"""Facts about Claude models and the locations that serve them, as data, and their look-ups. No decisions."""

from modelmux.catalog.lifecycle import (
    Lifecycle,
    deprecation_day,
    lifecycle,
    lifecycle_warning,
    missing_model_hint,
    retirement_day,
)
from modelmux.catalog.locations import (
    Geography,
    Locations,
    location_in_path,
    location_of_host,
    locations,
    project_in_path,
)
from modelmux.catalog.models import MULTI_REGION_LOCATIONS, Catalog, ModelCard, builtin, normalise
from modelmux.catalog.prices import Price, PriceList, Rates, builtin_prices

__all__ = [
    "MULTI_REGION_LOCATIONS",
    "Catalog",
    "Geography",
    "Lifecycle",
    "Locations",
    "ModelCard",
    "Price",
    "PriceList",
    "Rates",
    "builtin",
    "builtin_prices",
    "deprecation_day",
    "lifecycle",
    "lifecycle_warning",
    "location_in_path",
    "location_of_host",
    "locations",
    "missing_model_hint",
    "normalise",
    "project_in_path",
    "retirement_day",
]
