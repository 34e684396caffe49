"""I/O in: the ASGI application, its endpoints and what they answer."""
