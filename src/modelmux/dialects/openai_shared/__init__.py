"""What the dialects of OpenAI have in common."""
