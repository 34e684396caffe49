"""Records of requests for ``modelmux trace``."""
