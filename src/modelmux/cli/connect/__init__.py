"""``modelmux connect``: what to set in a client so that it uses this gateway."""
