"""The cost of a call: token counts times prices, exact, each component rounded half up once."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from modelmux.catalog.prices import Rates

_MILLION: Final = 1_000_000
_HALF: Final = _MILLION // 2


class TokenCounts(Struct, frozen=True, kw_only=True):
    """Tokens of one or several calls. The five counts of tokens are disjoint; none is negative.

    :param input: neither written to the cache nor read from it.
    :param cache_write: written for 5 minutes; ``cache_write_1h`` for an hour.
    :param output: thinking included.
    :param thinking: a part of ``output``, for reports.
    :param web_searches: run by the upstream.
    """

    input: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0
    thinking: int = 0
    web_searches: int = 0

    @property
    def prompt(self) -> int:
        """What decides about the price of long prompts."""
        return self.input + self.cache_write + self.cache_write_1h + self.cache_read

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            input=self.input + other.input,
            cache_write=self.cache_write + other.cache_write,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
            cache_read=self.cache_read + other.cache_read,
            output=self.output + other.output,
            thinking=self.thinking + other.thinking,
            web_searches=self.web_searches + other.web_searches,
        )


class Cost(Struct, frozen=True, kw_only=True):
    """What a call costs by component, in nano-USD. A correction may be negative."""

    input: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0
    web_search: int = 0

    @property
    def total(self) -> int:
        return self.input + self.cache_write + self.cache_write_1h + self.cache_read + self.output + self.web_search

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            input=self.input + other.input,
            cache_write=self.cache_write + other.cache_write,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
            cache_read=self.cache_read + other.cache_read,
            output=self.output + other.output,
            web_search=self.web_search + other.web_search,
        )

    def __neg__(self) -> Cost:
        return Cost(
            input=-self.input,
            cache_write=-self.cache_write,
            cache_write_1h=-self.cache_write_1h,
            cache_read=-self.cache_read,
            output=-self.output,
            web_search=-self.web_search,
        )


def cost_of(counts: TokenCounts, rates: Rates) -> Cost:
    """The cost of one call: tokens at nano-USD per million, each product rounded half up.

    :param rates: of its model, day, location and size of prompt.
    """
    return Cost(
        input=(counts.input * rates.input + _HALF) // _MILLION,
        cache_write=(counts.cache_write * rates.cache_write + _HALF) // _MILLION,
        cache_write_1h=(counts.cache_write_1h * rates.cache_write_1h + _HALF) // _MILLION,
        cache_read=(counts.cache_read * rates.cache_read + _HALF) // _MILLION,
        output=(counts.output * rates.output + _HALF) // _MILLION,
        web_search=counts.web_searches * rates.web_search,
    )
