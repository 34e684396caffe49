"""Which errors say that a policy stopped the answer or the prompt, by Anthropic's filter or by one of Google's.

They come under types that mean something else (``invalid_request_error``, ``api_error``, ``INVALID_ARGUMENT``), so the
words decide.
"""

from __future__ import annotations

import re
from typing import Final

#: Words that nothing but such an error has, whatever its type. First Anthropic's.
_CERTAIN: Final = re.compile(
    r"\bblocked by (?:our |the )?content[- ]filter|\bcontent[- ]filter(?:ing)? polic"
    r"|\bResponsible AI\b|\bModel Armor\b|\bsafety filter",
    re.IGNORECASE,
)
#: Words that may also be about something else, such as a policy of the Google Cloud organization.
_LIKELY: Final = re.compile(
    r"\b(?:outputs?|responses?|answers?|prompts?|inputs?|contents?|generations?)\b(?: \w+){0,3} blocked\b"
    r"|\bblocked\b.{0,80}\b(?:safety|content|moderation|guardrails?)\b"
    r"|\bviolat(?:e|es|ed|ing|ion)\b.{0,80}\b(?:usage|content|safety|acceptable use)\b.{0,20}\b(?:polic|guideline)",
    re.IGNORECASE | re.DOTALL,
)
#: Values of a ``google.rpc.ErrorInfo``'s reason.
_REASONS: Final = frozenset({
    "SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "CONTENT_BLOCKED", "CONTENT_FILTER", "RECITATION", "SPII",
    "MODEL_ARMOR", "IMAGE_SAFETY", "RESPONSIBLE_AI",
})  # fmt: skip
#: Kinds under which such errors come; not those about credentials, quotas and models.
_KINDS: Final = frozenset({"invalid_request", "not_enabled", "conflict", "server_error", "unexpected"})


def is_content_filter(message: str, reason: str | None, kind: str) -> bool:
    """Whether an error is a policy's.

    :param reason: Google's, if it has one.
    :param kind: what its type and status mean by themselves.
    """
    if reason in _REASONS or _CERTAIN.search(message):
        return True
    return kind in _KINDS and _LIKELY.search(message) is not None
