"""``modelmux keys``, ``teams`` and ``people``: who may use the gateway."""
