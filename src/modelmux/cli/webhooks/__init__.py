"""``modelmux webhooks``: on the accounts of this machine, or with ``--url`` on those of a gateway."""
