"""Renames the keys of one JSON object while its text arrives, cut anywhere: what a model writes as a tool's input.

Only the keys of the root change; values, spacing and everything below the root stay as they were written. A key is held
back until it is complete. Text that is not JSON passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

#: The rest of a string, up to its closing quote, the end of the text, or a backslash whose escape is cut.
_REST_OF_STRING: Final = re.compile(r'(?:[^"\\]|\\.)*+', re.DOTALL)
_STRUCTURE: Final = re.compile(r'["{}\[\],]')


class KeyRewriter:
    """The state of one text.

    :param names: key -> new key, for those that change.
    """

    __slots__ = ("_depth", "_escaped", "_expects_key", "_in_object", "_in_string", "_key", "_names")

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._depth = 0
        self._in_object = False  # the root is an object
        self._expects_key = False  # of the root
        self._in_string = False
        self._escaped = False  # the text so far ends with the backslash of an escape
        self._key: list[str] | None = None  # of the root, without its quotes, as far as it has come

    def feed(self, text: str) -> str:
        """The text that is certain so far."""
        written: list[str] = []
        at = 0
        while at < len(text):
            at = self._read_string(text, at, written) if self._in_string else self._read_structure(text, at, written)
        return "".join(written)

    def finish(self) -> str:
        """The rest: of a key that was cut off, what came of it."""
        key, self._key = self._key, None
        return "" if key is None else '"' + "".join(key)

    def _read_structure(self, text: str, at: int, written: list[str]) -> int:
        match = _STRUCTURE.search(text, at)
        if match is None:
            written.append(text[at:])
            return len(text)
        mark, end = match[0], match.end()
        is_key = mark == '"' and self._expects_key
        written.append(text[at : match.start() if is_key else end])
        if mark == '"':
            self._in_string, self._key = True, [] if is_key else None
        elif mark in "{[":
            self._depth += 1
            if self._depth == 1:
                self._in_object = mark == "{"
        elif mark in "}]":
            self._depth -= 1
        if mark in '{["':
            self._expects_key = mark == "{" and self._depth == 1
        elif mark == ",":
            self._expects_key = self._depth == 1 and self._in_object
        return end

    def _read_string(self, text: str, at: int, written: list[str]) -> int:
        """The next part of a string, up to its end."""
        begin = at
        if self._escaped:
            self._escaped = False
            at += 1
        match = _REST_OF_STRING.match(text, at)
        assert match is not None  # it may be empty
        end = match.end()
        target = written if self._key is None else self._key
        if end == len(text):
            target.append(text[begin:])
            return end
        if text[end] == "\\":
            self._escaped = True
            target.append(text[begin:])
            return end + 1
        target.append(text[begin:end])
        written.append('"' if self._key is None else self._renamed("".join(self._key)))
        self._in_string, self._key = False, None
        return end + 1

    def _renamed(self, key: str) -> str:
        """A key with its quotes; one that stays is as it was written."""
        quoted = f'"{key}"'
        try:
            name = self._names.get(msgspec.json.decode(quoted))
        except msgspec.DecodeError:
            return quoted
        return quoted if name is None else msgspec.json.encode(name).decode()


def rename_keys(text: str, names: Mapping[str, str]) -> str:
    """The text of one object with the keys of its root renamed."""
    rewriter = KeyRewriter(names)
    return rewriter.feed(text) + rewriter.finish()
