"""Records of the latest requests in a SQLite file, for ``modelmux trace``."""
