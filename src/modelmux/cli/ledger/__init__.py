"""``modelmux ledger``: rows of the ledger, and what those in doubt did cost."""
