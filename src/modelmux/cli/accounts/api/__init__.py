"""The commands of accounts over the admin API of a gateway, with ``--url``."""
