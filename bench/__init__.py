"""Measuring the gateway: ``python -m bench --help``. Nothing here is part of what is installed."""
