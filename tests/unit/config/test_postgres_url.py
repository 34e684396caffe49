"""Risk: a password is shown, or a URL means another database than it says."""

from __future__ import annotations

import pytest

from modelmux.config.postgres_url import EXAMPLE, BadUrl, is_postgres, parse_postgres_url, urls_of_hosts


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (EXAMPLE, "postgresql://db.example.com/modelmux"),
        ("postgres://u@h:5433/d", "postgresql://h:5433/d"),
        ("postgresql://u:p%2F%40@h1:1,h2:2/d?target_session_attrs=read-write", "postgresql://h1:1,h2:2/d"),
        ("postgresql://u:p@/d%20b?host=/run/postgresql", "postgresql:///run/postgresql/d b"),
        ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d"),
    ],
)
def test_a_url_is_shown_without_its_user(url: str, shown: str) -> None:
    parsed = parse_postgres_url(url)
    assert is_postgres(url)
    assert str(parsed) == shown
    assert parsed.url == url
    assert "p%2F" not in repr(parsed)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://u:canary/x@h/d", "%2F"),
        ("postgresql://u:canary@x@h/d", "%40"),
        ("postgresql://u:canary@h", "not the URL of a database"),
        ("postgresql://u:canary@h/d#f", "not the URL of a database"),
        ("postgresql://h/d?password=canary", "in front of the host"),
        ("postgresql://h/d?user=canary", "in front of the host"),
        ("postgresql://h/d?sslmode=canary", "sslmode: expected one of disable, allow"),
        ("postgresql://h/d?options=-c%20canary", "parameter 'options'; expected some of host"),
        ("postgresql://h/d?migration_timeout=canary", "migration_timeout: expected seconds, up to 999999, as in"),
        ("postgresql://h/d?migration_timeout=", "migration_timeout: expected seconds, up to 999999, as in"),
        ("postgresql://h/d?migration_timeout=1000000", "migration_timeout: expected seconds, up to 999999, as in"),
        ("postgresql://h/d?migration_timeout=0", "migration_timeout: expected seconds, up to 999999, as in"),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(url: str, problem: str) -> None:
    with pytest.raises(BadUrl, match=problem) as caught:
        parse_postgres_url(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "alone"),
    [
        (EXAMPLE, [EXAMPLE]),
        (
            "postgresql://u:p%40@h:1,[::1]:2/d?sslmode=allow",
            ["postgresql://u:p%40@h:1/d?sslmode=allow", "postgresql://u:p%40@[::1]:2/d?sslmode=allow"],
        ),
        ("postgresql://h1,h2/d", ["postgresql://h1/d", "postgresql://h2/d"]),
        ("postgresql://u@/d?host=/run", ["postgresql://u@/d?host=/run"]),
        ("postgresql:///d?host=a,b", ["postgresql:///d?host=a", "postgresql:///d?host=b"]),
        ("postgresql:///d?host=a,b&port=1,2", ["postgresql:///d?host=a&port=1", "postgresql:///d?host=b&port=2"]),
        ("postgresql:///d?host=a,b&port=1", ["postgresql:///d?host=a&port=1", "postgresql:///d?host=b&port=1"]),
        ("postgresql:///d?host=a,b&port=1,2,3", ["postgresql:///d?host=a,b&port=1,2,3"]),
    ],
)
def test_each_of_several_hosts_has_a_url_of_its_own(url: str, alone: list[str]) -> None:
    assert urls_of_hosts(parse_postgres_url(url)) == tuple(alone)


@pytest.mark.parametrize(
    ("query", "passed_on", "seconds"),
    [
        ("", "", 600.0),
        ("?sslmode=allow", "?sslmode=allow", 600.0),
        ("?migration_timeout=7200", "", 7200.0),
        ("?migration_timeout=5&sslmode=allow&passfile=%2Fa", "?sslmode=allow&passfile=%2Fa", 5.0),
        ("?sslmode=allow&migration_timeout=5", "?sslmode=allow", 5.0),
        ("?migration%5Ftimeout=700&sslmode=allow", "?sslmode=allow", 700.0),
        ("?migration_timeout=999999", "", 999_999.0),
    ],
)
def test_the_time_for_an_upgrade_is_not_passed_on(query: str, passed_on: str, seconds: float) -> None:
    parsed = parse_postgres_url(f"postgresql://u:p%3F@h1,h2/d{query}")
    assert parsed.url == f"postgresql://u:p%3F@h1,h2/d{passed_on}"
    assert parsed.migration_timeout == seconds
    assert urls_of_hosts(parsed)[1] == f"postgresql://u:p%3F@h2/d{passed_on}"
