"""OpenAI Chat Completions: decodes requests, encodes replies."""
