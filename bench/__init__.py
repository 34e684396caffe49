"""Benchmarks of the gateway: ``python -m bench --help``. Not part of the installed package."""
