"""Google access tokens."""
