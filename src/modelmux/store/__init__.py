"""Durable and shared state behind small protocols."""
