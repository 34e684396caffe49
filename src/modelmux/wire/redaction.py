"""Secrets in texts that others choose: API keys and tokens of known shapes, ids of Google projects, and known keys.

A secret may begin anywhere, not only where a word does: ``x:sk-…``, ``v@sk-…``, ``%2Fya29.…``. But ``sk-`` and
``ya29.`` are also the middle of ordinary words (``task-runner``): inside of a word, what follows has to look random.
A text in percent-encoding is searched as it reads when decoded, also if it was encoded twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

#: In the place of a secret.
REDACTED: Final = "-"
#: Shortest known key that is searched for: a shorter one is a part of ordinary text, which its absence would point out.
MIN_KEY: Final = 8
#: Texts whose redaction is remembered. Those of a client repeat with every request.
_MAX_REMEMBERED: Final = 512
#: Where a word begins.
_START: Final = r"(?<![A-Za-z0-9])"
#: What separates a secret from something else.
_SEPARATORS: Final = r"\s/\"'\\,;&<>()\[\]{}"
#: What belongs to a secret once it has begun.
_REST: Final = rf"[^{_SEPARATORS}]*"
#: Looks random: letters and digits together, without a separator.
_RANDOM: Final = r"(?=[\w-]{0,40}(?=[A-Za-z]{0,15}[0-9])[A-Za-z0-9]{16})"
#: The same with letters of both cases, unlike ids in hexadecimal digits.
_MIXED: Final = r"(?=[\w-]{0,40}(?=[A-Za-z]{0,15}[0-9])(?=[a-z0-9]{0,15}[A-Z])(?=[A-Z0-9]{0,15}[a-z])[A-Za-z0-9]{16})"
#: What is before the id of a project: projects/ID, projects//ID, projects/./ID.
_PROJECTS: Final = r"(?i:projects)[/\\:](?:[/\\:]|\.{1,2}(?=[/\\:]))*"
_SECRET: Final = re.compile(
    rf"""
      {_START}(?i:sk)-(?!(?i:sk|learn)(?![\w-]))(?=[\w-]) {_REST}             # sk-SK is a language, sk-learn a library
    | (?i:sk)-(?:(?<!(?i:[aeiou]sk-)){_RANDOM}|{_MIXED}) {_REST}              # the id task-0123… has a vowel before
    | {_START}[rs]k_(?:live|test)_[A-Za-z0-9]{{8}} {_REST}
    | AIza(?=[\w-]{{4}}) {_REST}                                            # Google API keys
    | {_START}AQ\.A[\w-]{{8}} {_REST}
    | (?:{_START}ya29\.(?=[\w-]) | ya29\.(?=[\w-]{{16}})) {_REST}            # OAuth access tokens
    | {_START}1//0[\w-]{{8}} {_REST}                                        # refresh tokens
    | GOCSPX-{_REST}                                                       # client secrets
    | (?:{_START}eyJ[\w-]{{8}} | eyJ[\w-]{{8,400}}\.eyJ) {_REST}              # identity tokens, other JSON in base64
    | A[KS]IA[A-Z0-9]{{16}} {_REST}                                         # access keys of AWS
    | {_START}(?:gsk_|hf_|r8_|gh[oprsu]_|github_pat_|xai-|pplx-)[A-Za-z0-9]{{16}} {_REST}
    | {_START}(?:xox[a-z][.-]|glpat-)[\w.-]{{8}} {_REST}                     # Slack, GitLab
    | (?P<basic>{_START}(?i:basic)[:=+\s]+)                                 # a user's name and password in base64
      (?=[A-Za-z0-9+/]{{8}})(?=[A-Za-z0-9+][A-Za-z0-9+]{{0,400}}[A-Z0-9=]) [A-Za-z0-9+/=]+
    | (?P<project>(?:(?<![A-Za-z0-9_-]){_PROJECTS} | {_START}{_PROJECTS}(?=[^{_SEPARATORS}]*[0-9])))  # my-projects/x
      (?![/\\:])[^{_SEPARATORS}]+
    """,
    re.VERBOSE,
)
#: Part of each secret, in lower case: most texts have none, and are not looked at closer.
_MARKS: Final = (
    "sk-", "k_live_", "k_test_", "projects", "aiza", "ya29.", "aq.a", "1//0", "gocspx-", "eyj", "gsk_", "hf_", "r8_",
    "gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_", "xai-", "pplx-", "akia", "asia", "xox", "glpat-", "basic",
)  # fmt: skip
#: A character in percent-encoding, which may be encoded several times.
_ENCODED: Final = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})")
_TO_LAST_SEPARATOR: Final = re.compile(rf".*[{_SEPARATORS}]", re.DOTALL)


def redacted(text: str) -> str:
    """The text without secrets of known shapes, each replaced with ``-``."""
    plain, begins = _decoded(text)
    lower = plain.lower()
    for mark in _MARKS:
        if mark in lower:
            return _without(_SECRET, text, plain, begins)
    return text


def redaction_of(keys: Iterable[str]) -> Callable[[str], str]:
    """The function ``redacted`` that also knows some keys. It remembers what it was called with, so texts are short."""
    known = {form for key in map(str.strip, keys) if len(key) >= MIN_KEY for form in _forms(key)}
    longest_first = re.compile("|".join(re.escape(key) for key in sorted(known, key=len, reverse=True)))

    @lru_cache(maxsize=_MAX_REMEMBERED)
    def redact(text: str) -> str:
        plain, begins = _decoded(text)
        if any(key in plain for key in known):
            text = _without(longest_first, text, plain, begins)
        return redacted(text)

    return redact


def _forms(key: str) -> tuple[str, str]:
    """A key as in a path or a document, and as in a header."""
    return key, key.encode().decode("latin-1")


def _without(secret: re.Pattern[str], text: str, plain: str, begins: Sequence[int]) -> str:
    """The text without what the pattern matches in ``plain``, but with the groups that a match begins with."""
    parts, done = list[str](), 0
    for match in secret.finditer(plain):
        begin = match.end(match.lastgroup) if match.lastgroup is not None else match.start()
        parts += text[done : begins[begin]], REDACTED
        done = begins[match.end()]
    return "".join((*parts, text[done:]))


def _decoded(text: str) -> tuple[str, Sequence[int]]:
    """The text without percent-encoding, a character for each byte, and where each of them and the end are in it."""
    if "%" not in text:
        return text, range(len(text) + 1)
    plain, begins, done = list[str](), list[int](), 0
    for match in _ENCODED.finditer(text):
        plain += text[done : match.start()], chr(int(match[1], 16))
        begins += range(done, match.start() + 1)
        done = match.end()
    return "".join((*plain, text[done:])), [*begins, *range(done, len(text) + 1)]


def beginning(text: str, length: int) -> str:
    """The text, or its beginning. One that is cut loses its last word, too: the start of a secret may have no shape."""
    if len(text) <= length:
        return text
    match = _TO_LAST_SEPARATOR.match(text[:length])
    return match[0] if match is not None else REDACTED
