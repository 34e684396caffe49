"""The error of a request that is above a limit: which one, whose, what counts, how long to wait, whom to ask."""

from __future__ import annotations

import math
from typing import Final

from modelmux.accounts.limit_leases import Seen
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
#: There is room, but not on this node yet.
_LEASING: Final = "of what is left, this node has to get its part first"
#: There is room, for those who came before.
_BEHIND: Final = "earlier requests wait for what is left"
_HOLDERS: Final = {"key": "The API key {!r} may use", "person": "{!r} may use, with all keys together,",
                   "team": "The team {!r} may use"}  # fmt: skip


def message_of(applied: AppliedLimit, rate: Rate, seen: Seen, needed: int, *, is_behind: bool = False) -> str:
    """One sentence.

    :param needed: requests, or tokens that the request is expected to use. :param is_behind: others wait for the limit.
    """
    may, counts = _MAY[rate]
    limit, used = seen.limit, seen.used
    may = may.format(limit=f"{limit:,}", s="" if limit == 1 else "s")
    text = f"{_holder(applied)} {may}; {counts.format(used=f'{used:,}')}"
    if rate not in ("rpm", "concurrent"):
        text = f"{text}, and this request is expected to use {needed:,}"
    if used + needed > limit:
        return f"{text}."
    return f"{text}; {_BEHIND if is_behind else _LEASING}."


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
