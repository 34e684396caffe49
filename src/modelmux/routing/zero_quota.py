"""Whether an upstream's words say that a quota's limit is zero, and not that nothing is left of it."""

from __future__ import annotations

import re
from typing import Final

#: Ends of sentences and of the parts of one. "0,5" and "0.5" are numbers.
_CLAUSE_ENDS: Final = re.compile(r"[.,;!?](?:\s|\Z)|[\r\n*]")
#: A clause with one of these is about what is left, or about a while.
_NOT_A_LIMIT: Final = re.compile(
    r"(?<![a-z])(?:remain(?:s|ing|der)?|left|available|unused|balance)(?![a-z])"
    r"|\b(?:for|in|during) the (?:next|rest|current)\b|\bthis (?:second|minute|hour|day|window|period)\b"
    r"|\buntil\b",
    re.IGNORECASE,
)
#: The upstream says when to come back, so it will not always be zero.
_COME_BACK: Final = re.compile(r"\b(?:retry|try again|resets?)\b[^.]{0,20}?\b(?:in|after|at) \d", re.IGNORECASE)
_ZERO: Final = (
    r"['\"`(]*(?:0+(?:\.0+)?(?![\w%]|[.,-]\d)|zero\b)"
    r"(?!['\"`]?\s*(?:(?:out )?of\s+\d|/\s*\d|%|(?:ms|s|milliseconds?|seconds?)\b))"
)
_LIMIT: Final = r"(?<![a-z])(?:limit|quota)(?:[ _](?:limit|quota|value))*(?![a-z])['\"`]?"
_IS: Final = r"(?:is|are|was|of|set|to|at|currently|now|being|has|been|still|equals?)"
_GIVEN: Final = r"(?:assigned|granted|given|allocated|allotted|provisioned|configured|set)"
_ZERO_LIMIT: Final = re.compile(
    rf"{_LIMIT}(?: {_IS}){{0,4}}\s*[:=]?\s*{_ZERO}"
    rf"|{_LIMIT} for [^:=]{{1,80}}?(?: (?:is|are|was)(?: {_IS}){{0,3}}|[:=])\s+{_ZERO}"
    r"|(?<![\w.,:/-])(?<!used )(?:0|zero) quota\b"
    r"|\b(?:have|has|having|with|got) no quota(?=\s*(?:\Z|(?:for|in|on|at|to)\b))"
    rf"|\bno quota (?:(?:is|was|has been|have been) )?(?:yet |currently )?{_GIVEN}\b"
    rf"|\bquota (?:is|was|has|have)(?: not|n't) (?:yet )?(?:been )?(?:yet )?{_GIVEN}\b",
    re.IGNORECASE,
)


def says_zero_limit(message: str) -> bool:
    """Whether a message says that the limit is zero."""
    if _COME_BACK.search(message):
        return False
    return any(_ZERO_LIMIT.search(clause) and not _NOT_A_LIMIT.search(clause) for clause in _CLAUSE_ENDS.split(message))
