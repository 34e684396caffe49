"""Validation of requests: what the real service rejects, in its own words and in its order."""
