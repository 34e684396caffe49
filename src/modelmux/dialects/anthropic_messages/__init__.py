"""Anthropic Messages: the model list and errors in Anthropic's shape."""
