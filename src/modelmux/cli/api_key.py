"""Keys for clients: ``sk-modelmux-``, 32 random letters and digits, and a checksum that detects typing errors."""

from __future__ import annotations

import secrets
import string
import zlib
from collections.abc import Callable
from typing import Final

PREFIX: Final = "sk-modelmux-"
#: Random letters and digits: 190 bits.
LENGTH: Final = 32
_LETTERS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase


def new_key(choice: Callable[[str], str] = secrets.choice) -> str:
    """A new key."""
    random = "".join(choice(_LETTERS) for _ in range(LENGTH))
    return f"{PREFIX}{random}{checksum(random)}"


def checksum(text: str) -> str:
    """CRC-32 in six letters and digits."""
    number = zlib.crc32(text.encode())
    digits = ""
    for _ in range(6):
        number, rest = divmod(number, len(_LETTERS))
        digits = _LETTERS[rest] + digits
    return digits
