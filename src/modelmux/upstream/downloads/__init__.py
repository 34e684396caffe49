"""Guarded downloads of files that requests refer to by URL."""
