"""Bodies of requests and replies in a SQLite file, for ``modelmux trace`` and ``modelmux replay``."""
