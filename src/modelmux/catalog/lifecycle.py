"""Release and retirement of models: what to warn about on a given day. Pure: the day is an argument."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from modelmux.catalog.models import ModelCard

#: How long before its date a retirement is reported: the notice Anthropic gives (platform.claude.com/docs,
#: model-deprecations: at least 60 days).
NOTICE_PERIOD: Final = timedelta(days=60)


def lifecycle_warning(card: ModelCard, today: date) -> str | None:
    """A sentence about a model that is not released yet, retires soon or is past its date; None for any other.

    The catalog has the earliest date only; Google sets the actual one, so no model is certain to be retired.
    """
    if card.released_on is not None and today < card.released_on:
        return f"{card.id} is released on {card.released_on}; requests may fail until then"
    if card.retires_on is None or card.retires_on - today > NOTICE_PERIOD:
        return None
    left = (card.retires_on - today).days
    if left <= 0:
        when = f"may be retired since {card.retires_on}"
    else:
        when = f"may be retired from {card.retires_on} on, in {left} day{'s' if left > 1 else ''}"
    move = f"move to {card.replacement}" if card.replacement else "move to a newer model"
    return f"{card.id} {when}; {move}"
