"""``modelmux explain``: what would be sent for a request, and why, without sending it."""
