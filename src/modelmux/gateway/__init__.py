"""The data path: one exchange from its body to the last byte of the response, and its record."""
