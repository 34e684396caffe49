"""Claude on Vertex AI."""
