"""Requests that mix other dialects into Chat Completions, rewritten in Chat Completions' own form.

What is taken: content blocks and tools of Anthropic Messages, items, parts and flat tools of Responses, content of MCP
tools, and omissions that leave nothing to doubt. A foreign form is taken only if it can mean one thing. Whatever is
left over stays where it is: the decoder reports it as an unknown field or refuses it.

``body.py`` is the entry. Only requests that the decoder does not take as they are come here.
"""
