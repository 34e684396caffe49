"""What a Claude model accepts and how it replies."""
