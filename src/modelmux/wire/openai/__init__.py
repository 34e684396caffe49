"""Shapes of OpenAI's API."""
