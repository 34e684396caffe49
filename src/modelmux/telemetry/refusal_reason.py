"""Which refusals the metrics count, by whose decision they are."""

from __future__ import annotations

from modelmux.errors import (
    BudgetSpent,
    CallerRateLimited,
    GatewayError,
    ModelNotFound,
    NotPermitted,
    StoreUnavailable,
    Unauthorized,
)

#: Codes of ``NotPermitted`` that are about a model; all others are about the key.
_OF_MODEL = ("price_unknown",)


def refusal_reason(error: GatewayError) -> str | None:
    """The label ``reason``; None for an error that has nothing to do with who asks, or for which model."""
    match error:
        case BudgetSpent():
            return "budget"
        case CallerRateLimited():
            return error.rate
        case ModelNotFound():
            return "model"
        case NotPermitted():
            return "model" if error.param == "model" or error.code in _OF_MODEL else "key"
        case Unauthorized():
            return "key"
        case StoreUnavailable():
            return "store"
    return None
