"""Launch and retirement of models: what is worth a word on a given day. Pure: the day is an argument."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from modelmux.catalog.models import ModelCard

#: How long before its date a retirement is worth a word: the notice Anthropic gives (platform.claude.com/docs,
#: model-deprecations: at least 60 days).
SOON: Final = timedelta(days=60)


def lifecycle(card: ModelCard, today: date) -> str | None:
    """A sentence about a model that is not out yet, retires soon or is past its date; None where all is well.

    The catalog knows the earliest date only; the real one is Google's to set, so nothing is called retired for sure.
    """
    if card.launched is not None and today < card.launched:
        return f"{card.id} comes out on {card.launched}; requests may fail until then"
    if card.retires is None or card.retires - today > SOON:
        return None
    left = (card.retires - today).days
    if left <= 0:
        when = f"may be retired since {card.retires}"
    else:
        when = f"may be retired from {card.retires} on, in {left} day{'s' if left > 1 else ''}"
    move = f"move to {card.replacement}" if card.replacement else "move to a newer model"
    return f"{card.id} {when}; {move}"
