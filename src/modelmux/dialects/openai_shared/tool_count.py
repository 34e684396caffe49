"""The limit of tools: reading one takes some 10 us, and a MB has room for 30,000 of them."""

from __future__ import annotations

from typing import Final

from modelmux.errors import InvalidRequest

#: As many as Anthropic's tool search takes; far above what clients send.
MAX_TOOLS: Final = 10_000


def check_tool_count(count: int, field: str) -> None:
    """:raises InvalidRequest: there are more. :param field: that has them."""
    if count > MAX_TOOLS:
        raise InvalidRequest(
            f"The request defines more than {MAX_TOOLS:,} tools.", param=field, hint="Send those that it may need."
        )
