"""Secrets in texts that others choose: API keys and tokens of known shapes, and ids of Google projects.

A secret may begin anywhere, not only where a word does: ``x:sk-…``, ``v@sk-…``, ``%2Fya29.…``. But ``sk-`` and
``ya29.`` are also the middle of ordinary words (``task-runner``): inside of a word, what follows has to look random.
"""

from __future__ import annotations

import re
from typing import Final

#: In the place of a secret.
REDACTED: Final = "-"
#: Where a word begins, also after a character in percent-encoding, which may be encoded twice.
_START: Final = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=%25[0-9A-Fa-f]{2}))"
#: What belongs to a secret once it has begun: everything that does not separate it from something else.
_REST: Final = r"[^\s/\"'\\,;&<>()\[\]{}]*"
#: Looks random: letters and digits together, without a separator.
_RANDOM: Final = r"(?=[\w-]{0,40}(?=[A-Za-z]{0,15}[0-9])[A-Za-z0-9]{16})"
_HYPHEN: Final = r"(?:-|%(?:25)*2[Dd])"
_SLASH: Final = r"(?:/|%(?:25)*2[Ff])"
_SECRET: Final = re.compile(
    rf"""
      (?:{_START}(?i:sk){_HYPHEN}(?!(?i:sk)(?![\w-]))(?=[\w%-]) | (?i:sk)-{_RANDOM}) {_REST}   # sk-SK is a language
    | AIza(?=[\w-]{{4}}) {_REST}                                            # Google API keys
    | {_START}AQ\.A[\w-]{{8}} {_REST}
    | (?:{_START}ya29\.(?=[\w-]) | ya29\.(?=[\w-]{{16}})) {_REST}            # OAuth access tokens
    | {_START}1//0[\w-]{{8}} {_REST}                                        # refresh tokens
    | GOCSPX-{_REST}                                                       # client secrets
    | eyJ[\w-]{{8}}{_REST}                                                  # identity tokens, other JSON in base64
    | {_START}(?:gsk_|hf_|gh[opsu]_|github_pat_|xai-|pplx-)[A-Za-z0-9]{{16}} {_REST}
    | (?P<before>(?i:projects){_SLASH}(?:{_SLASH}|\.{{1,2}}(?={_SLASH}))*)   # projects/ID, projects//ID, projects%2FID
      (?!{_SLASH})(?:[^\s/%"'\\,;&<>()\[\]{{}}]|%(?!(?:25)*2[Ff]))+
    """,
    re.VERBOSE,
)
#: Part of each secret, in lower case: most texts have none, and are not looked at closer.
_MARKS: Final = (
    "sk-", "sk%", "projects", "aiza", "ya29.", "aq.a", "1//0", "gocspx-", "eyj", "gsk_", "hf_", "ghp_", "gho_", "ghs_",
    "ghu_", "github_pat_", "xai-", "pplx-",
)  # fmt: skip


def redacted(text: str) -> str:
    """The text without secrets, each replaced with ``-``."""
    lower = text.lower()
    for mark in _MARKS:
        if mark in lower:
            break
    else:
        return text
    return _SECRET.sub(lambda match: (match["before"] or "") + REDACTED, text)
