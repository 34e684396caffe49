"""``server.cors_origins`` -> origins in the form browsers send, or what is wrong with each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from modelmux.config.host_lists import HOST, read_entries

ANY: Final = "*"
_SHAPE: Final = re.compile(r"^[a-z][a-z0-9+.-]*://[^/?#@\s]+$")
_PORT: Final = re.compile(r":[^\]]*$")  # not the colons inside the brackets of IPv6
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def read_origins(origins: Sequence[str]) -> frozenset[str]:
    """Origins in the form of the ``Origin`` header: lower case, without a default port. ``*`` stands for any.

    :raises ConfigError: naming every entry that is not an origin.
    """
    return read_entries("server.cors_origins", origins, _origin, "an origin")


def _origin(text: str) -> str:
    """:raises ValueError: what to write instead."""
    if text == ANY:
        return ANY
    if text == "null":
        raise ValueError("every sandboxed page and local file sends null; serve the page from its own address")
    if "://" not in text:
        raise ValueError(f"include the scheme, such as https://{text or 'chat.example.com'}")
    if "*" in text:
        raise ValueError("list each origin; wildcards other than * alone are not supported")
    bare = text.lower()
    if not _SHAPE.match(bare):
        raise ValueError("an origin is scheme, host and an optional port, with nothing after them")
    scheme, _, rest = bare.partition("://")
    host, colon, port = rest.rpartition(":") if _PORT.search(rest) else (rest, "", "")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError("the port must be a number from 1 to 65535")
    if not HOST.fullmatch(host):
        raise ValueError("the host is not in the form of an Origin header; use punycode for non-ASCII letters")
    return f"{scheme}://{host}" + (f":{int(port)}" if port and int(port) != _DEFAULT_PORTS.get(scheme) else "")
