"""HTTP in: the ASGI application, its endpoints and responses."""
