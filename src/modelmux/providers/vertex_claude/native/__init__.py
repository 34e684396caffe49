"""Requests that reach Claude on Vertex AI in the client's own bytes."""
