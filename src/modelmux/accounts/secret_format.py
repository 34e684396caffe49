"""The form of a key's secret: ``sk-mmx-``, 43 random letters and digits, and a checksum of 6 over all before.

The checksum tells a mistyped secret, or another program's, without a look at any key, and lets scanners find secrets in
repositories with hardly a false alarm: ``PATTERN`` and ``is_secret``. Tokens of the admin API differ by their
prefix, so that neither is taken for the other.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Final

KEY_PREFIX: Final = "sk-mmx-"
ADMIN_PREFIX: Final = "mmx-admin-"
#: Of what signs the events that a webhook gets.
HOOK_PREFIX: Final = "mmx-hook-"
#: What a scanner looks for.
PATTERN: Final = r"(?:sk-mmx-|mmx-admin-|mmx-hook-)[0-9A-Za-z]{49}"

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS: Final = 43  # 62 ** 43 is just above 2 ** 256
_CHECK_DIGITS: Final = 6  # 62 ** 6 is above 2 ** 32
_RANDOM_BYTES: Final = 32
_SECRET: Final = re.compile(PATTERN)
_HINT_START, _HINT_END = 11, 4
#: Characters of a secret that is brought along from elsewhere, of which only the hash is stored.
MIN_IMPORTED: Final = 32


def new_secret(random: Callable[[int], bytes], prefix: str = KEY_PREFIX) -> str:
    """A secret of 256 random bits.

    :param random: returns N random bytes.
    """
    body = prefix + _base62(int.from_bytes(random(_RANDOM_BYTES)), _RANDOM_DIGITS)
    return body + _checksum(body)


def is_secret(text: str, prefix: str = KEY_PREFIX) -> bool:
    """Whether this has the form of a secret, the checksum included."""
    if not text.startswith(prefix) or _SECRET.fullmatch(text) is None:
        return False
    return _checksum(text[:-_CHECK_DIGITS]) == text[-_CHECK_DIGITS:]


def hint_of(secret: str) -> str:
    """What is shown of a secret, so that people can tell theirs apart: ``sk-mmx-4hF7...x9Qa``."""
    return f"{secret[:_HINT_START]}...{secret[-_HINT_END:]}"


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECK_DIGITS)


def _base62(number: int, digits: int) -> str:
    letters = []
    for _ in range(digits):
        number, digit = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    return "".join(reversed(letters))
