"""Logs and metrics of the gateway. The names of both are in ``names.py``."""
