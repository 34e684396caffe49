"""Shapes of Google Cloud's API."""
