"""What Claude would refuse a whole request for, repaired where it stands; a request without such a fault is not
touched."""

from __future__ import annotations

from modelmux.providers.vertex_claude.native.draft import NativeDraft


def surrogates(draft: NativeDraft) -> None:
    """Lone surrogates were replaced before the body was decoded; here it is said."""
    for notice in draft.native.notices:
        draft.notices.add(*notice)
