"""Settings: their schema, and reading them from a file."""

from modelmux.config.deployments import build_routes
from modelmux.config.load import ConfigError, load, parse
from modelmux.config.schema import Config

__all__ = ["Config", "ConfigError", "build_routes", "load", "parse"]
