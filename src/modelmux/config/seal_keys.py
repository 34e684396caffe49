"""``server.seal_keys`` -> bytes of the keys, or what is wrong with each; and the text of a new one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from modelmux.config.errors import ConfigError

#: Hexadecimal digits of a key: those of AES-SIV with AES-128 or AES-256.
_FORM: Final = re.compile(r"[0-9a-fA-F]{64}(?:[0-9a-fA-F]{64})?")
#: Fewer different digits than this are not random: it happens once in 10^15 keys.
_MIN_DIFFERENT: Final = 6
_HINT: Final = "Generate a key with: openssl rand -hex 64"


def read_seal_keys(keys: Iterable[str]) -> tuple[bytes, ...]:
    """The keys, in order.

    :raises ConfigError: with the positions of those that cannot be used; the keys themselves are not repeated.
    """
    read, problems = [], []
    for index, text in enumerate(keys):
        try:
            read.append(parse_seal_key(text))
        except ValueError as error:
            problems.append(f"server.seal_keys[{index}]: {error}")
    if problems:
        raise ConfigError(problems, hint=_HINT)
    return tuple(read)


def parse_seal_key(text: str) -> bytes:
    """One key.

    :raises ValueError: why it is none.
    """
    digits = text.strip()
    if not _FORM.fullmatch(digits):
        raise ValueError("a seal key has 64 or 128 hexadecimal digits")
    if len(set(digits.lower())) < _MIN_DIFFERENT:
        raise ValueError("it is not random")
    return bytes.fromhex(digits)
