"""The output limit: what the client asks for, up to the model's own limit. Anthropic requires one."""

from __future__ import annotations

from typing import Final

from modelmux.claude.draft import Draft
from modelmux.claude.request import NO_LIMIT

#: A unary request that may produce more than this is streamed from the upstream and folded: an idle timeout on the way
#: cannot cut it while the model writes.
LONG_REPLY_TOKENS: Final = 8_192


def apply(draft: Draft) -> None:
    """Bring ``max_tokens`` within what the model produces."""
    body, limit = draft.body, draft.card.max_output
    if body.max_tokens == NO_LIMIT:
        body.max_tokens = limit
    elif body.max_tokens > limit:
        for field in draft.request.fields.max_tokens:
            draft.notices.add("clamped", field, f"The model produces at most {limit} tokens.")
        body.max_tokens = limit
