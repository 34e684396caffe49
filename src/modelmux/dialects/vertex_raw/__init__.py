"""Vertex AI's own paths for Claude models, as clients in Vertex mode call them."""
