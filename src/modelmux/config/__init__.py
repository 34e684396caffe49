"""Settings: their table, and loading them from every source."""

from modelmux.config.errors import ConfigError
from modelmux.config.load import Loaded, load, load_all, parse
from modelmux.config.routes import build_routes
from modelmux.config.schema import Config

__all__ = ["Config", "ConfigError", "Loaded", "build_routes", "load", "load_all", "parse"]
