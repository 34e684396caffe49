"""Bodies of requests and replies, noted on their way."""
