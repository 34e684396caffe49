"""Facts about the service that the catalog has no field for (messages.md 3 and 8, catalog-2026-11.md 2)."""

from __future__ import annotations

from typing import Final

from modelmux.catalog import ModelCard, locations

#: Where tokens can be counted; the two regions are of older stacks.
COUNT_LOCATIONS: Final = frozenset({*locations().count_tokens_locations, "us-east5", "europe-west1"})
LONG_CONTEXT_BETA: Final = "context-1m-2025-08-07"
_LONG_CONTEXT: Final = frozenset({"claude-sonnet-4-5", "claude-sonnet-4"})
_LONG_CONTEXT_WINDOW: Final = 1_000_000


def is_4_5_or_newer(card: ModelCard) -> bool:
    """Structured output is new in the 4.5 generation, so the catalog's field tells it from older ones."""
    return card.structured_output


def context_window(card: ModelCard, betas: frozenset[str]) -> int:
    """The model's context window; larger under a beta on a few models."""
    if LONG_CONTEXT_BETA in betas and card.base in _LONG_CONTEXT:
        return max(card.context_window, _LONG_CONTEXT_WINDOW)
    return card.context_window
