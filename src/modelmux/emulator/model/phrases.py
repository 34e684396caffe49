"""Phrases in a text that can become a tool's arguments: quoted strings, names, numbers, addresses.

Shallow on purpose: the result has to be plausible and always the same, not more.
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUOTED: Final = re.compile(r"\"([^\"\n]{1,200})\"|“([^”\n]{1,200})”|'([^'\n]{2,200})'(?!\w)|`([^`\n]{1,200})`")
_NAME: Final = re.compile(r"[A-ZÀ-Þ][\w’'.-]*[\w](?:[ ][A-ZÀ-Þ][\w’'.-]*[\w])*")
_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_URL: Final = re.compile(r"https?://[^\s\"'<>)\]]+")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+\w")
_DATE: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_ARITHMETIC: Final = re.compile(r"[-+]?[\d(][\d\s.()+*/^%-]*[\d)]")
_AFTER_PREPOSITION: Final = re.compile(r"\b(?:in|for|at|of|near|from|to)\s+([a-zà-þ][\w-]{2,})", re.IGNORECASE)
_FUNCTION_WORD: Final = re.compile(r"\s+(?:in|for|at|of|about|the|a|an|me|my|on|to|with|from|please)\b")
_NOT_NAMES: Final = _words(
    """
    a add also an and are as ask at be book but calculate call can check choose compare compute
    could create delete do does find first for from generate get give go hello hey hi how i if in is
    it json let list look make my need no not now ok on open or order please plan read repeat reply
    run say search send set show so tell thank thanks that the then there they this to today
    tomorrow tool tools translate try update use using want we what what's when where which who why
    will with would write yes you your celsius fahrenheit
    """
)


class Phrases:
    """Phrases of one text. ``names`` are in order and without repeats."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lower = text.lower()
        self.quoted: list[str] = [next(g for g in groups if g) for groups in _QUOTED.findall(text)]
        self.numbers = [float(n) if "." in n else int(n) for n in _NUMBER.findall(text)]
        self.urls: list[str] = _URL.findall(text)
        self.emails: list[str] = _EMAIL.findall(text)
        self.dates: list[str] = _DATE.findall(text)
        self.names = _names_in(text)

    def contains_word(self, word: str) -> bool:
        """Whether the text contains this word as a whole word, in any case; ``_`` and ``-`` count as spaces."""
        pattern = r"[\s_-]+".join(re.escape(part) for part in re.split(r"[\s_-]+", word.lower()) if part)
        return bool(pattern) and re.search(rf"(?<!\w){pattern}(?!\w)", self.lower) is not None

    def contains_name(self, name: str) -> bool:
        """Whether the text contains exactly this name."""
        return bool(name) and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self.text) is not None

    def expression(self) -> str | None:
        """An arithmetic expression in the text."""
        candidates = (m.group().strip() for m in _ARITHMETIC.finditer(self.text))
        return next((m for m in candidates if any(op in m[1:] for op in "+-*/^%")), None)


def _names_in(text: str) -> list[str]:
    """Names in a text. ``Paris, France`` is one, ``Paris, Rome and Oslo`` are three."""
    spans: list[tuple[int, int, str]] = []
    for match in _NAME.finditer(text):
        words = match.group().split(" ")
        start = match.start()
        while words and words[0].lower().rstrip(".'’s") in _NOT_NAMES | {"what"}:
            start += len(words[0]) + 1
            words.pop(0)
        if words and not (len(words) == 1 and _opens_sentence(text, start, match.end())):
            spans.append((start, match.end(), " ".join(words)))
    names: list[str] = []
    skip = -1
    for index, (_, end, name) in enumerate(spans):
        if index == skip:
            continue
        if index + 1 < len(spans) and _is_qualifier(text, end, spans, index):
            name, skip = f"{name}, {spans[index + 1][2]}", index + 1
        if name not in names:
            names.append(name)
    return names or _lower_case_name(text)


def _opens_sentence(text: str, start: int, end: int) -> bool:
    """Whether a word is capitalised only because it comes first, as in "Weather in Paris"."""
    before = text[:start].rstrip()
    return (not before or before[-1] in ".?!:\n") and _FUNCTION_WORD.match(text, end) is not None


def _is_qualifier(text: str, end: int, spans: list[tuple[int, int, str]], index: int) -> bool:
    """Whether the next name qualifies this one, as a country does a city."""
    following = spans[index + 1]
    if text[end : following[0]] != ", ":
        return False
    rest = text[following[1] :].lstrip()
    is_listed = rest.startswith((",", "and ", "or ", "& "))
    before = text[: spans[index][0]].rstrip()
    return not is_listed and not before.endswith(",")


def _lower_case_name(text: str) -> list[str]:
    words = (m.group(1) for m in _AFTER_PREPOSITION.finditer(text))
    return [word for word in words if word.lower() not in _NOT_NAMES][:1]
