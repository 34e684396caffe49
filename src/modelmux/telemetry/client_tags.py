"""What a client says about itself, for the log: its program, and the session and agent that sent the request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from modelmux.wire.redaction import redacted

#: Request header -> log field.
TAGS: Final = {
    b"user-agent": "user_agent",
    b"x-claude-code-session-id": "session_id",
    b"x-claude-code-agent-id": "agent_id",
    b"x-claude-code-parent-agent-id": "parent_agent_id",
}
#: Longest value in a log line.
_MAX_LENGTH: Final = 120
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


def client_tags(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """The log fields of a request's headers; of a header sent twice, the first."""
    tags: dict[str, str] = {}
    for name, value in headers:
        field = TAGS.get(name)
        if field is not None and field not in tags and value:
            text = value[: 4 * _MAX_LENGTH].decode("latin-1")  # a secret that is cut could not be recognised
            tags[field] = _UNPRINTABLE.sub("?", redacted(text)[:_MAX_LENGTH])
    return tags
