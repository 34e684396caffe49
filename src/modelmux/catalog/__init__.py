"""Facts about Claude models as data, and one lookup. No decisions."""

from modelmux.catalog.catalog import Catalog, ModelCard, builtin, normalise

__all__ = ["Catalog", "ModelCard", "builtin", "normalise"]
