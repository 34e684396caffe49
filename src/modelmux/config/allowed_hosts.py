"""``server.allowed_hosts`` -> host names in the form of the ``Host`` header, or what is wrong with each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from modelmux.config.host_lists import HOST, read_entries

_PORT: Final = re.compile(r":[0-9]*$")


def read_hosts(hosts: Sequence[str], setting: str = "server.allowed_hosts") -> frozenset[str]:
    """Host names in lower case, without a port and without a dot at their end.

    :raises ConfigError: naming every entry that is not a host name.
    """
    return read_entries(setting, hosts, lambda text: _host(text.lower()), "a host name")


def _host(text: str) -> str:
    """:raises ValueError: what to write instead."""
    if "://" in text or "/" in text:
        raise ValueError("leave out the scheme and the path")
    if "*" in text:
        raise ValueError("list each name; to be served under any name, set server.api_keys")
    name = text.removesuffix(".")
    if HOST.fullmatch(name):
        return name
    if text.count(":") > 1 and not text.startswith("["):
        raise ValueError("write an IPv6 address in brackets")
    if _PORT.search(text):
        raise ValueError("leave out the port: a name is allowed with any port")
    raise ValueError("write it in the form of a Host header; use punycode for non-ASCII letters")
