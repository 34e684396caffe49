"""I/O out: connections, credentials, and the envelope that Vertex AI wants around a request."""
