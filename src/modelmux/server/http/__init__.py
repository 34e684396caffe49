"""HTTP/1.1 for clients: connection, request, limits."""
