"""Origins of pages: what a browser would never send would silently allow nobody."""

from __future__ import annotations

import pytest

from modelmux.config import ConfigError
from modelmux.config.cors_origins import read_origins


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://chat.example.com", "https://chat.example.com"),
        (" HTTPS://Chat.Example.com:443 ", "https://chat.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:80", "http://localhost"),
        ("https://localhost:80", "https://localhost:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[::1]", "http://[::1]"),
        ("http://10.0.0.1", "http://10.0.0.1"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("tauri://localhost", "tauri://localhost"),
        ("*", "*"),
    ],
)
def test_an_origin_as_browsers_send_it(given: str, read: str) -> None:
    assert read_origins([given]) == {read}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("chat.example.com", "https://chat.example.com"),
        ("localhost:3000", "https://localhost:3000"),
        ("", "https://chat.example.com"),
        ("null", "sandboxed"),
        ("https://*.example.com", "other than * alone"),
        ("https://chat.example.com/", "nothing after them"),
        ("https://chat.example.com/page", "nothing after them"),
        ("https://chat.example.com?x=1", "nothing after them"),
        ("https://user@chat.example.com", "nothing after them"),
        ("https://", "nothing after them"),
        ("https://a b", "nothing after them"),
        ("https://bücher.example", "punycode"),
        ("https://a.example:port", "port"),
        ("https://a.example:99999", "port"),
        ("https://a.example:", "port"),
        ("https://[::1", "host"),
    ],
)
def test_what_is_no_origin_is_refused_with_what_would_be(given: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_origins(["https://fine.example", given])
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"server.cors_origins[1]: {given!r} is not an origin; ")
    assert says in caught.value.problems[0].partition("; ")[2]


def test_all_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_origins(["a", "https://b", "c"])
    assert [problem[:23] for problem in caught.value.problems] == ["server.cors_origins[0]:", "server.cors_origins[2]:"]
