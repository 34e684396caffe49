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


def test_a_value_that_is_cut_shows_no_beginning_of_a_secret() -> None:
    long = b"sk-" + b"x" * 460 + b" AKIAIOSFODNN7EXAMPLE"
    assert client_tags([(b"user-agent", long)]) == {"user_agent": "- "}
    assert client_tags([(b"user-agent", b"sk-" + b"x" * 457 + b" 0123456789abcdefghi")]) == {
        "user_agent": "- 0123456789abcdefghi"
    }, "a value that is not cut keeps its last word"


def test_what_else_is_secret_is_up_to_the_caller() -> None:
    tags = client_tags([(b"user-agent", b"curl/8 team-key")], lambda text: text.replace("team-key", "-"))
    assert tags == {"user_agent": "curl/8 -"}
