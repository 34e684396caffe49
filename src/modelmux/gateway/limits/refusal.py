"""The error of a request that is above a limit: which one, whose, what counts, how long to wait, whom to ask."""

from __future__ import annotations

import math
from typing import Final

from modelmux.accounts.limits import AppliedLimit
from modelmux.accounts.rates import Rate

#: Rate -> what the holder may do, and what counts.
_MAY: Final[dict[Rate, tuple[str, str]]] = {
    "rpm": ("{limit} request{s} a minute", "{used} count in the last minute"),
    "tpm": ("{limit} tokens a minute, without what is read from the cache", "{used} count in the last minute"),
    "itpm": (
        "{limit} tokens of input a minute, without what is read from the cache", "{used} count in the last minute",
    ),
    "otpm": ("{limit} tokens of output a minute", "{used} count in the last minute"),
    "concurrent": ("{limit} request{s} at once", "{used} are running"),
}  # fmt: skip
_HOLDERS: Final = {"key": "The API key {!r} may use", "person": "{!r} may use, with all keys together,",
                   "team": "The team {!r} may use"}  # fmt: skip


def message_of(applied: AppliedLimit, rate: Rate, limit: int, used: int, needed: int) -> str:
    """One sentence. :param needed: tokens that the request is expected to use."""
    may, counts = _MAY[rate]
    may = may.format(limit=f"{limit:,}", s="" if limit == 1 else "s")
    text = f"{_holder(applied)} {may}; {counts.format(used=f'{used:,}')}"
    if rate in ("rpm", "concurrent"):
        return f"{text}."
    return f"{text}, and this request is expected to use {needed:,}."


def hint_of(rate: Rate, seconds: float, contact: str) -> str:
    """What to do about it. :param seconds: until there is room."""
    when = "when one of them has ended" if rate == "concurrent" else f"in {math.ceil(seconds)} s"
    return f"Try again {when}, or ask {contact} for more."


def _holder(applied: AppliedLimit) -> str:
    if applied.holder != "limit":
        return _HOLDERS[applied.holder].format(applied.name)
    return f"The limit {applied.name!r} allows {_each(applied)}".rstrip()


def _each(applied: AppliedLimit) -> str:
    if not applied.subject:
        return ""
    if applied.is_claim:
        return "each end user"
    return "each person" if applied.subject.startswith("usr_") else "each key"
