"""Shapes of other dialects in a request of OpenAI's, each as Chat Completions' own where it can mean only one thing.

Chat Completions rewrites a request with them; Responses reads single parts, calls and tools.
"""
