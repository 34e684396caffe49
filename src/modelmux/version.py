"""The one place the version is written. Read by the build and by ``modelmux --version``."""

__version__ = "2.0.0a1"
