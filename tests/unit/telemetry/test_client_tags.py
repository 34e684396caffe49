"""Risk: a header of a client breaks a log line, or makes it long."""

from __future__ import annotations

from modelmux.telemetry.client_tags import TAGS, client_tags
from modelmux.telemetry.names import FIELDS


def test_headers_become_fields_that_the_log_knows() -> None:
    assert set(TAGS.values()) <= set(FIELDS)
    headers = [(name, name[-4:]) for name in TAGS]
    assert client_tags([*headers, (b"x-claude-code-session-id", b"second"), (b"cookie", b"c")]) == {
        "user_agent": "gent", "session_id": "n-id", "agent_id": "t-id", "parent_agent_id": "t-id",
    }  # fmt: skip


def test_values_are_short_and_printable() -> None:
    assert (
        client_tags([(b"user-agent", b"a\tb\xc3\xa4\x1b[31m" + b"x" * 200)])["user_agent"] == "a?b???[31m" + "x" * 110
    )
    assert client_tags([(b"user-agent", b"")]) == {}


def test_values_have_no_secret_also_where_they_are_cut() -> None:
    headers = [(b"user-agent", b"tool/1 (key sk-secret)"), (b"x-claude-code-session-id", b"x" * 119 + b":sk-secret")]
    assert client_tags(headers) == {"user_agent": "tool/1 (key -)", "session_id": "x" * 119 + ":"}
