"""Settings: their table, and reading them from every place they may stand in."""

from modelmux.config.load import ConfigError, Loaded, load, load_all, parse
from modelmux.config.routes import build_routes
from modelmux.config.schema import Config

__all__ = ["Config", "ConfigError", "Loaded", "build_routes", "load", "load_all", "parse"]
