"""Guarded downloads of files that requests reference by URL."""
