"""What a client says about itself, for the log: its program, and the session and agent that sent the request."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from modelmux.wire.redaction import beginning, redacted

#: Request header -> log field.
TAGS: Final = {
    b"user-agent": "user_agent",
    b"x-claude-code-session-id": "session_id",
    b"x-claude-code-agent-id": "agent_id",
    b"x-claude-code-parent-agent-id": "parent_agent_id",
}
#: Longest value in a log line.
_MAX_LENGTH: Final = 120
#: Bytes of a value that are looked at; one more than is used, which tells whether it was cut.
_MAX_READ: Final = 4 * _MAX_LENGTH + 1
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


def client_tags(headers: Sequence[tuple[bytes, bytes]], redact: Callable[[str], str] = redacted) -> dict[str, str]:
    """The log fields of a request's headers; of a header sent twice, the first.

    :param redact: removes secrets.
    """
    tags: dict[str, str] = {}
    for name, value in headers:
        field = TAGS.get(name)
        if field is not None and field not in tags and value:
            text = beginning(value[:_MAX_READ].decode("latin-1"), _MAX_READ - 1)  # a secret is recognised before a cut
            tags[field] = _UNPRINTABLE.sub("?", redact(text)[:_MAX_LENGTH])
    return tags
