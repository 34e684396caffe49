"""How many tokens requests have, for the older GenAI conventions, which want a histogram where we count sums.

Counted only where these conventions are sent.
"""

from __future__ import annotations

from typing import Final

from modelmux.telemetry.counters import Histogram, Observations
from modelmux.telemetry.genai_names import TOKEN_BOUNDS, TOKEN_USAGE
from modelmux.wire.anthropic import Usage

#: Name among histograms -> value of the attribute ``gen_ai.token.type``.
TOKEN_TYPES: Final = {f"{TOKEN_USAGE}:input": "input", f"{TOKEN_USAGE}:output": "output"}


class TokenSizes:
    """One of each process."""

    def __init__(self) -> None:
        self._input, self._output = (Histogram(name, "", "route", TOKEN_BOUNDS) for name in TOKEN_TYPES)

    def observe(self, route: str, usage: Usage) -> None:
        """Those of a request; tokens of the cache are input."""
        parts = (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
        self._input.observe(route, max(0, sum(part or 0 for part in parts)))
        self._output.observe(route, max(0, usage.output_tokens or 0))

    @property
    def values(self) -> dict[str, dict[str, Observations]]:
        return {one.name: one.values for one in (self._input, self._output)}

    @property
    def bounds(self) -> dict[str, tuple[float, ...]]:
        return {one.name: one.bounds for one in (self._input, self._output)}
