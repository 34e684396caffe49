"""Risk: what a client chose forges a log line, or carries a secret into the log."""

from __future__ import annotations

import pytest

from modelmux.telemetry.loggable import first_word, loggable_path, loggable_word


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("claude-opus-4-8", "claude-opus-4-8"),
        ("claude-opus-4-5@20251101", "claude-opus-4-5@20251101"),
        ("anthropic/claude:free", "anthropic/claude:free"),
        ("m" * 64, "m" * 64),
        ("m" * 65, "-"),
        ("", "-"),
        (None, "-"),
        ("two words", "-"),
        ("line\nbreak", "-"),
        ("line\n", "-"),
        ("\x1b[31mred", "-"),
        ("modèle", "-"),
        ('"quoted"', "-"),
        ("projects/secret-42/locations/eu/models/x", "projects/-/locations/eu/models/x"),
        ("sk-proj-abc", "-"),
        ("task-runner", "task-runner"),
        ("x:sk-abc", "x:-"),
        ("v@AIzaSyD1234", "v@-"),
    ],
)
def test_words(text: str | None, shown: str) -> None:
    assert loggable_word(text) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/embeddings", "/v1/embeddings"),
        ("/" + "x" * 100, "/" + "x" * 63),
        ("/a\r\nb c\x1b[0m", "/a??b?c?[0m"),
        ("/caf\u00e9\u2028", "/caf??"),
        ("/v1/projects/secret-42/locations/eu:predict", "/v1/projects/-/locations/eu:predict"),
        ("/" + "x" * 50 + "/projects/secret-42", "/" + "x" * 50 + "/projects/-"),
        ("/sk-modelmux-key/v1/chat", "/-/v1/chat"),
        ("/v1/projects//secret-42/x", "/v1/projects//-/x"),
        ("/" + "x" * 60 + "/ya29.secret", "/" + "x" * 60 + "/-"),
        ("/" + "A1" * 100 + "/sk-" + "x" * 99, "/" + "A1" * 31 + "A"),
        ("/sk-" + "x" * 240 + "/AKIAIOSFODNN7EXAMPLE", "/-/"),
        ("/sk-" + "x" * 300 + "/a", "/"),
        ("", ""),
    ],
)
def test_paths(path: str, shown: str) -> None:
    assert loggable_path(path) == shown


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"OpenAI/Python 1.99.0", "OpenAI/Python"),
        (b"claude-cli/2.1.0 (external, cli)", "claude-cli/2.1.0"),
        (b"codex_cli_rs/0.55", "codex_cli_rs/0.55"),
        (b"(Mozilla)", "-"),
        (b"", "-"),
        (b" curl", "-"),
        (b"\xff\xfe", "-"),
        (b"x" * 10_000, "-"),
    ],
)
def test_the_first_word_of_a_header(header: bytes, shown: str) -> None:
    assert first_word(header) == shown


def test_what_else_is_secret_is_up_to_the_caller() -> None:
    def redact(text: str) -> str:
        return text.replace("team-key", "-")

    assert loggable_word("team-key", redact) == "-"
    assert loggable_path("/team-key/v1", redact) == "/-/v1"
    assert first_word(b"x/team-key y", redact) == "x/-"
