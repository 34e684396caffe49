"""The heart: one exchange from a decoded body to the last byte, and what has to be settled after it."""
