"""``server.cors_origins`` -> origins as browsers send them, or what is wrong with each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from modelmux.config.load import ConfigError

ANY: Final = "*"
_SHAPE: Final = re.compile(r"^[a-z][a-z0-9+.-]*://[^/?#@\s]+$")
_HOST: Final = re.compile(r"^(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)$")
_PORT: Final = re.compile(r":[^\]]*$")  # not the colons inside the brackets of IPv6
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def read_origins(given: Sequence[str]) -> frozenset[str]:
    """Origins in the form of the ``Origin`` header: lower case, without a default port. ``*`` stands for any.

    :raises ConfigError: entries that are no origins, all of them.
    """
    found, problems = set(), []
    for index, text in enumerate(given):
        try:
            found.add(_origin(text.strip()))
        except ValueError as error:
            problems.append(f"server.cors_origins[{index}]: {text[:100]!r} is no origin; {error}")
    if problems:
        raise ConfigError(problems)
    return frozenset(found)


def _origin(text: str) -> str:
    """:raises ValueError: what to write instead."""
    if text == ANY:
        return ANY
    if text == "null":
        raise ValueError("every sandboxed page and local file sends null; serve the page from an address of its own")
    if "://" not in text:
        raise ValueError(f"write the scheme too, such as https://{text or 'chat.example.com'}")
    if "*" in text:
        raise ValueError("name each origin; only * alone stands for any")
    bare = text.lower()
    if not _SHAPE.match(bare):
        raise ValueError("it is scheme and host, with a port if need be, and nothing after them")
    scheme, _, rest = bare.partition("://")
    host, colon, port = rest.rpartition(":") if _PORT.search(rest) else (rest, "", "")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError("its port is no number from 1 to 65535")
    if not _HOST.match(host):
        raise ValueError("its host is not written as in a browser's Origin header; use punycode for other letters")
    return f"{scheme}://{host}" + (f":{int(port)}" if port and int(port) != _DEFAULT_PORTS.get(scheme) else "")
