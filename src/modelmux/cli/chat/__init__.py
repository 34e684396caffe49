"""``modelmux chat``: talk to a model through the gateway."""
