"""Risk: an error of the library, or of Python, is taken for one of the server; the package is not there."""

from __future__ import annotations

import sys

import pytest

from modelmux.config.redis_url import parse_redis_url
from modelmux.store.base import StoreFailed
from modelmux.store.redis.connection import Connection, driver, is_of_redis, problem_of


class ReadOnlyError(Exception):
    """As the library has one."""


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(StoreFailed, match="run pip install 'modelmux-gateway"):
        driver()


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ReadOnlyError("READONLY You can't write against a read only replica."), "it is a replica; name the primary"),
        (Exception("NOPERM this user has no permissions"), "the user may not run scripts"),
        (Exception("ERR something\nelse " + "x" * 200), "ERR something else"),
        (ConnectionRefusedError("no"), "it cannot be reached; check host, port, TLS and firewall"),
    ],
)
def test_what_errors_mean(error: Exception, problem: str) -> None:
    text = problem_of(error)
    assert text.startswith(problem)
    assert len(text) <= 150
    assert is_of_redis(error) is isinstance(error, OSError)


async def test_a_mistake_of_ours_is_not_taken_for_one_of_the_server() -> None:
    connection = Connection(parse_redis_url("redis://h"), 1.0)
    connection._opened = lambda: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        await connection.run("", [], [])
    await connection.aclose()
