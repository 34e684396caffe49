"""Which errors say that a policy stopped the answer or the prompt, by Anthropic's filter or by one of Google's.

They come under types that mean something else (``invalid_request_error``, ``api_error``, ``INVALID_ARGUMENT``), so the
words decide. The name of a filter is not enough: filters have outages, quotas and permissions of their own.
"""

from __future__ import annotations

import re
from typing import Final

_STOPPED: Final = r"(?:blocked|filtered|flagged|rejected|refused|declined|stopped|withheld)"
#: "was blocked", and not "may be blocked", which is about another request.
_WAS_STOPPED: Final = rf"(?<!\bbe )(?<!\bbeing )(?<!\bnot )\b{_STOPPED}"
_WHOSE: Final = r"(?:(?:our|the|its|a|an|one|of|this|model|provider|[\w-]+['’]s) ){0,3}"
_FILTER: Final = (
    r"(?:content[- ](?:filter|moderation|polic)|safety (?:filter|system|polic|setting|classifier|guideline|reason|"
    r"concern|check)|safety(?=\s*(?:[.,;:)]|\Z))|Model Armor\b|Responsible AI\b|usage polic|use polic|guardrail|"
    r"(?:content )?moderation\b|(?:harmful|unsafe|prohibited|sensitive) content\b|polic(?:y|ies) violation)"
)
_POLICY: Final = r"(?:(?:usage|use|content|safety) (?:polic|guideline)|Responsible AI\b)"
_WHAT: Final = r"(?:prompt|input|output|response|answer|generation|completion|content|text|message)s?"
_BAD: Final = r"(?:prohibited|harmful|unsafe|disallowed|forbidden|inappropriate) content\b(?![- ]type)"

#: Sentences that nothing but such an error has, whatever its type.
_STATED: Final = re.compile(
    rf"{_WAS_STOPPED}(?: \w+)? (?:by|under|due to|because of|for) {_WHOSE}{_FILTER}"
    rf"|\b{_FILTER}\w* (?:(?:has|have) )?{_STOPPED} (?:(?:the|this|your|a|an|user) ){{0,2}}(?:{_WHAT}|request)\b"
    r"|\bcontent[- ]filter(?:ing)?(?: policy)? (?:was |has been )?triggered\b"
    rf"|\bviolat(?:e|es|ed|ing|ion of) (?:[\w'’-]+ ){{0,5}}{_POLICY}"
    rf"|\bcontain(?:s|ed|ing)? (?:\w+ ){{0,2}}{_BAD}"
    r"|\bblocked by floor setting",
    re.IGNORECASE,
)
#: Sentences that are about a policy where nothing speaks against it.
_LIKELY: Final = re.compile(
    rf"\b{_WHAT} (?:(?:was|were|is|are|has|have|been|got) ){{0,2}}(?:\w+ly )?(?:blocked|filtered|flagged)\b"
    r"(?:\s*(?:[.;,!)]\s|[.!)]?\s*\Z)|: ?(?-i:[A-Z_]{4,})\b|,? because\b)"
    rf"|\b(?:{_WHAT}|request) violat(?:es?|ed) {_WHOSE}polic",
    re.IGNORECASE,
)
#: What an error about the filter itself says, or one by a policy of the Google Cloud organization.
_FAILED: Final = re.compile(
    r"\b(?:unavailable|outage|quota|time(?:d |-)?out|deadline|overloaded|temporar|permission|not found|service agent|"
    r"cannot be read|does not exist)",
    re.IGNORECASE,
)
_ORGANIZATION: Final = re.compile(
    r"\borgani[sz]ation(?:al|['’]s)? polic|\bconstraint|\borg[- ]?policy|\bVPC\b", re.IGNORECASE
)
#: What an error quotes of the request, to the end if it was cut off.
_QUOTED: Final = re.compile(r"(?<!\w)'(?:[^']|'(?=\w))*+(?:'|\Z)|\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)|“[^”]*(?:”|\Z)")
#: A place of the request, which the sentence is about.
_PLACE: Final = re.compile(r"\A(?!error:|blocked:)[a-z_]+(?:[.\[][\w.\[\]$-]+)?: |\b(?:tools|messages|system)[.\[]\d")
#: Values of a ``google.rpc.ErrorInfo``'s reason.
_REASONS: Final = frozenset({
    "SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "CONTENT_BLOCKED", "CONTENT_FILTER", "CONTENT_FILTERED", "RECITATION",
    "SPII", "IMAGE_SAFETY", "RESPONSIBLE_AI", "CONTENT_POLICY_VIOLATION", "POLICY_VIOLATION", "JAILBREAK",
})  # fmt: skip
#: A reason that names the filter only.
_FILTER_REASON: Final = "MODEL_ARMOR"
#: Values of Anthropic's ``error.type``, by which other providers of Claude say it.
_TYPES: Final = frozenset({"content_filter", "content_filter_error", "content_policy_violation"})
#: Kinds of errors in a request, under which such errors come; not those about credentials, quotas, models and outages.
_KINDS: Final = frozenset({"invalid_request", "not_enabled", "conflict", "unexpected"})


def is_content_filter(message: str, reason: str | None, type: str, kind: str) -> bool:
    """Whether an error is a policy's.

    :param reason: Google's, if it has one.
    :param type: ``error.type`` or ``status``.
    :param kind: what its type and status mean by themselves.
    """
    may_be = kind in _KINDS
    if type in _TYPES or reason in _REASONS or (may_be and reason == _FILTER_REASON):
        return True
    own = message if message.lstrip().startswith(("{", "[")) else _QUOTED.sub("''", message)
    if _ORGANIZATION.search(own) or (not may_be and _FAILED.search(own)):
        return False
    if _STATED.search(own):
        return True
    return may_be and _PLACE.search(own) is None and _LIKELY.search(own) is not None
