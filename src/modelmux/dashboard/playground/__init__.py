"""The playground: a page that sends a request to the gateway as any client does, and shows what became of it."""
