"""Keys that everybody knows are refused, keys that people make are not, and neither is ever repeated."""

from __future__ import annotations

import secrets

import pytest

from modelmux.cli.api_key import new_key
from modelmux.config import ConfigError
from modelmux.config.weak_keys import check_keys


@pytest.mark.parametrize(
    "key",
    ["sk-1234", "SK-1234", "changeme", "change-me", "Change_Me", "your-api-key", "<your key>", "sk-...", "sk-…",
     "sk-modelmux-…", "***", "sk-xxxxxxxx", "${MODELMUX_API_KEYS}", "{{ key }}", "sk-", "password", "default", "test"],
)  # fmt: skip
def test_what_stands_in_manuals_is_no_key(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_keys(["sk-mine-5f2c", key])
    (problem,) = caught.value.problems
    assert problem.startswith("server.api_keys[1]: ")
    assert "openssl rand" in (caught.value.hint or "")
    if len(key) > 4:
        assert key not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    ["env:MY_KEY", "ENV:MY_KEY", "file:/run/secrets/key", "file:///run/key", "os.environ/KEY", "$MY_KEY", "$(cat key)",
     "@/run/secrets/key", "op://vault/key", "vault:secret/key"],
)  # fmt: skip
def test_the_name_of_a_variable_or_of_a_file_is_no_key(key: str) -> None:
    """Other programs read what it names. Here the name itself would be the key."""
    with pytest.raises(ConfigError, match="names a variable or a file") as caught:
        check_keys([key])
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", "\t"])
def test_nothing_is_no_key(key: str) -> None:
    with pytest.raises(ConfigError, match="empty"):
        check_keys([key])


@pytest.mark.parametrize("key", ["k", "sk-own", "sk-12345-but-more", "testament", "x1x", "correct horse battery"])
def test_anything_else_is_its_owner_s_choice(key: str) -> None:
    check_keys([key, new_key(), secrets.token_hex(24), "sk-" + secrets.token_urlsafe(32)])
