"""The admin API: an ASGI application of its own, on a listener of its own."""
