"""Release and retirement of models on a given day. Pure: the day is an argument."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, Literal

from modelmux.catalog.models import ModelCard

#: How long before its earliest date a retirement is reported: the notice Anthropic gives (platform.claude.com/docs,
#: model-deprecations: at least 60 days).
NOTICE_PERIOD: Final = timedelta(days=60)

#: As in Anthropic's model list.
Lifecycle = Literal["active", "deprecated", "retired"]


def retirement_day(card: ModelCard) -> date | None:
    """The day of the shutdown if it is confirmed, else the earliest one; None where the catalog has neither."""
    return card.retired_on or card.retires_on


def deprecation_day(card: ModelCard) -> date | None:
    """The day from which a model counts as deprecated; None if its retirement is not scheduled.

    Google does not publish when it announces a retirement, and Anthropic's announcements apply to its own platforms
    only. So this is the last day on which the announcement would still be in time: the notice period before the day of
    retirement.
    """
    day = retirement_day(card)
    return None if day is None else day - NOTICE_PERIOD


def lifecycle(card: ModelCard, today: date) -> Lifecycle:
    """Where a model is in its life. A date in ``retires`` never makes it retired, only deprecated."""
    if card.is_retired(today):
        return "retired"
    deprecated_on = deprecation_day(card)
    return "active" if deprecated_on is None or today < deprecated_on else "deprecated"


def lifecycle_warning(card: ModelCard, today: date) -> str | None:
    """A sentence about a model that is not released yet, retires soon, is past its date or retired; None for others.

    ``retires`` is the earliest date only; Google sets the actual one, so such a model is not certain to be retired.
    """
    if card.released_on is not None and today < card.released_on:
        return f"{card.id} is released on {card.released_on}; requests may fail until then"
    if lifecycle(card, today) == "active":
        return None
    day = retirement_day(card)
    assert day is not None, "only a model with a date is not active"
    left = (day - today).days
    days = f"{left} day{'s' if left > 1 else ''}"
    if card.retired_on is not None:
        when = f"was retired on {day}" if left <= 0 else f"will be retired on {day}, in {days}"
    else:
        when = f"may be retired already (from {day} on)" if left <= 0 else f"may be retired from {day} on, in {days}"
    return f"{card.id} {when}; {_move(card)}"


def missing_model_hint(card: ModelCard, today: date) -> str | None:
    """What to do if the upstream does not know a model, as a sentence; None where retirement is not a likely cause.

    A model with a replacement but without a date may have been retired on any day.
    """
    warning = lifecycle_warning(card, today)
    if warning is None and retirement_day(card) is None and card.replacement is not None:
        return f"{card.id} may have been retired; {_move(card)}"
    return warning


def _move(card: ModelCard) -> str:
    return f"move to {card.replacement}" if card.replacement else "move to a newer model"
