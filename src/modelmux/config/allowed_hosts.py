"""``server.allowed_hosts`` -> host names in the form of the ``Host`` header, or what is wrong with each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from modelmux.config.errors import ConfigError

_HOST: Final = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_PORT: Final = re.compile(r":[0-9]*$")


def read_hosts(hosts: Sequence[str]) -> frozenset[str]:
    """Host names in lower case, without a port and without a dot at their end.

    :raises ConfigError: naming every entry that is not a host name.
    """
    valid, problems = set(), []
    for index, text in enumerate(hosts):
        try:
            valid.add(_host(text.strip().lower()))
        except ValueError as error:
            problems.append(f"server.allowed_hosts[{index}]: {text[:100]!r} is not a host name; {error}")
    if problems:
        raise ConfigError(problems)
    return frozenset(valid)


def _host(text: str) -> str:
    """:raises ValueError: what to write instead."""
    if "://" in text or "/" in text:
        raise ValueError("leave out the scheme and the path")
    if "*" in text:
        raise ValueError("list each name; to be served under any name, set server.api_keys")
    name = text.removesuffix(".")
    if _HOST.fullmatch(name):
        return name
    if text.count(":") > 1 and not text.startswith("["):
        raise ValueError("write an IPv6 address in brackets")
    if _PORT.search(text):
        raise ValueError("leave out the port: a name is allowed with any port")
    raise ValueError("write it in the form of a Host header; use punycode for non-ASCII letters")
