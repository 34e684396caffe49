"""What a log line may quote of a request: words of a few harmless characters, and paths that are cut.

Clients choose these texts. Neither may forge a line, hide in it, or carry a project id or a key into the log. What
``redact`` removes is up to the caller: see ``wire/redaction.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from modelmux.wire.redaction import beginning, redacted

#: Stands for a text that is missing or not quoted.
ABSENT: Final = "-"
#: Longest path of a client's own in a line.
MAX_PATH: Final = 64

_is_word: Final = re.compile(r"[A-Za-z0-9._@:/-]{1,64}").fullmatch
_NOT_PRINTABLE: Final = re.compile(r"[^\x21-\x7e]")


def loggable_word(text: str | None, redact: Callable[[str], str] = redacted) -> str:
    """The text if it is one word of harmless characters, else ``-``. A project or a key in it becomes ``-`` as well."""
    if text is None or _is_word(text) is None:
        return ABSENT
    return redact(text)


def loggable_path(path: str, redact: Callable[[str], str] = redacted) -> str:
    """The beginning of a path, without projects and keys."""
    return _NOT_PRINTABLE.sub("?", redact(beginning(path, 4 * MAX_PATH))[:MAX_PATH])


def first_word(text: bytes, redact: Callable[[str], str] = redacted) -> str:
    """The first word of a header's value, if it can be quoted, else ``-``: of ``claude-cli/2.1 (external)``, the
    program and its version."""
    return loggable_word(text[:256].decode("latin-1").partition(" ")[0], redact)


def escaped(text: str) -> str:
    """The text with escapes in place of characters that cannot be printed; all others, of any language, stay."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
