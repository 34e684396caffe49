"""Reads the JSON of an answer that a tool call carries, as it arrives: from where on it may have to be changed.

Two deformations are known (BerriAI/litellm#35790): the whole answer inside an envelope, ``{"parameter": {…}}``, and an
object or an array written as a string. ``answer_repair.py`` undoes them once the answer is complete.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

import msgspec

from modelmux.claude.schema.outline import Position
from modelmux.claude.schema.work import MAX_LEVELS, TooMuchWork, Work

#: White space; a mark; a number or a name. Always matches.
_TOKEN: Final = re.compile(r'(?P<space>[ \t\r\n]+)|(?P<mark>[{}\[\],:"])|[^ \t\r\n{}\[\],:"]+')
#: Inside a string: text without escapes; an escape, as far as its end is concerned; its end. Always matches.
_PIECE: Final = re.compile(r'[^"\\]+|\\(?:.|\Z)|"', re.DOTALL)
#: The same with as much text and as many escapes as there are.
_PIECES: Final = re.compile(r'(?:[^"\\]++|\\.)++|\\\Z|"', re.DOTALL)
_BLANK_ESCAPES: Final = (r"\n", r"\r", r"\t")


class Span(NamedTuple):
    """A string in an answer, quotes included, that is the JSON of an object or an array where one is wanted.

    :param certain: no variant of the schema allows a string there.
    """

    start: int
    end: int
    position: Position
    certain: bool


class _Level:
    """An object or an array that is open. ``count`` is of its keys or of the items before the current one."""

    __slots__ = ("count", "is_object", "position", "value_position")

    def __init__(self, position: Position, *, is_object: bool) -> None:
        self.is_object = is_object
        self.position = position
        self.count = 0
        self.value_position = position  # of the current property


class AnswerScanner:
    """One answer. It reads any text; of one that is not JSON it says nothing.

    :param root: what is wanted.
    :param work: is charged for every mark of the text, and for every escape that a string begins with.
    """

    def __init__(self, root: Position, work: Work) -> None:
        self._root = root
        self._work = work
        self._at = 0  # characters read
        self._levels: list[_Level] = []
        self._wants_key = False
        self._in_string: Literal["", "key", "value"] = ""
        self._start = 0  # of the string under way
        self._pieces: list[str] = []  # of the string, if its text is needed
        self._collects = False
        self._escaped = False  # the last character of the string is a backslash
        self._opening: Literal["", "blank", "json"] = ""  # what a string where none is wanted looks like so far
        self._position: Position | None = None  # of that string
        self._over = False  # the outermost value
        self._may_be_envelope = True
        #: The value of the outermost object's only key, which is not the schema's, or a string that is all there is:
        #: from its first to after its last character.
        self.envelope_start = -1
        self.envelope_end = -1
        #: Strings that may have to be changed, in order.
        self.strings: list[Span] = []
        #: The text is not JSON, or beyond the limits.
        self.failed = False

    @property
    def held_from(self) -> int | None:
        """Where the text begins that may have to be changed; None if nothing has to be, as far as it was read. Only if
        not ``failed``."""
        if self._may_be_envelope:
            return 0
        if self.strings:
            return self.strings[0].start
        return self._start if self._opening else None

    @property
    def is_envelope(self) -> bool:
        """Whether the complete text is one value inside an envelope or inside a string."""
        return self._may_be_envelope and self._over and self.envelope_end >= 0

    def feed(self, text: str) -> None:
        """Read on. Linear in the text, however it is divided."""
        try:
            at, base = 0, self._at
            while at < len(text) and not self.failed:
                at = self._string(text, at) if self._in_string else self._token(text, at)
                self._at = base + at
        except TooMuchWork:
            self.failed = True

    def _token(self, text: str, at: int) -> int:
        match = _TOKEN.match(text, at)
        assert match is not None
        if match["space"]:
            return match.end()
        mark = match["mark"]
        if mark:
            self._work.charge(1)
        if self._over:  # something after the end
            self.failed = True
        elif mark == '"':
            self._start_string()
        elif mark in ("{", "["):
            self._start_container(is_object=mark == "{")
        elif mark in ("}", "]"):
            self._end_container(match.end() - at)
        elif mark == ",":
            self._next()
        elif mark == ":":
            self._wants_key = False
        else:
            self._begin_value(opens=False)
            self._over = not self._levels
        return match.end()

    # --- strings -----------------------------------------------------------------------------------------------------

    def _start_string(self) -> None:
        self._start = self._at
        self._pieces.clear()
        if self._wants_key:
            self._in_string, self._collects = "key", True
            return
        self._begin_value(opens=True)
        self._in_string, self._position = "value", self._value_position()
        if self._is_only_value() or self._position.misplaced is not False:
            self._opening = "blank"
        self._collects = bool(self._opening)

    def _string(self, text: str, at: int) -> int:
        if self._escaped:
            self._escaped = False
            self._text_of_string("\\" + text[at])
            return at + 1
        if self._opening == "blank":  # in small pieces
            self._work.charge(1)
        match = (_PIECE if self._opening == "blank" else _PIECES).match(text, at)
        assert match is not None
        piece = match[0]
        if piece == '"':
            self._end_string()
        elif piece == "\\":
            self._escaped = True
        else:
            self._text_of_string(piece)
        return match.end()

    def _text_of_string(self, piece: str) -> None:
        if self._opening == "blank":
            self._opening = _opening_of(piece)
            if not self._opening:
                self._collects = False
                self._may_be_envelope = self._may_be_envelope and not self._is_only_value()
        if self._collects:
            self._pieces.append(piece)

    def _end_string(self) -> None:
        kind, self._in_string = self._in_string, ""
        opening, self._opening = self._opening, ""
        if kind == "key":
            self._key("".join(self._pieces))
            return
        end = self._at + 1
        if opening == "json" and self._position is not None and self._position.misplaced is not False:
            if container_in(f'"{"".join(self._pieces)}"') is not None:
                self.strings.append(Span(self._start, end, self._position, bool(self._position.misplaced)))
        elif opening == "blank":
            self._may_be_envelope = self._may_be_envelope and not self._is_only_value()
        if not self._levels:  # the whole answer
            self.envelope_start, self.envelope_end = self._start, end
        self._end_value(end)

    def _key(self, raw: str) -> None:
        try:
            key = msgspec.json.decode(f'"{raw}"', type=str)
        except (msgspec.DecodeError, UnicodeError):
            self.failed = True
            return
        level = self._levels[-1]
        if len(self._levels) == 1 and level.count == 0 and level.position.has_property(key):
            self._may_be_envelope = False
        level.count += 1
        level.value_position = level.position.child(key)

    # --- values ------------------------------------------------------------------------------------------------------

    def _value_position(self) -> Position:
        if not self._levels:
            return self._root
        level = self._levels[-1]
        return level.value_position if level.is_object else level.position.item(level.count)

    def _is_only_value(self) -> bool:
        """Whether the current value is the outermost one, or that of the outermost object's first key, which is not
        one of the schema's."""
        if not self._may_be_envelope:
            return False
        return not self._levels or (len(self._levels) == 1 and self._levels[0].is_object)

    def _begin_value(self, *, opens: bool) -> None:
        """A value begins.

        :param opens: it is an object, an array or a string.
        """
        if self._is_only_value():
            self._may_be_envelope = opens
            if self._levels:
                self.envelope_start = self._at

    def _end_value(self, end: int) -> None:
        if not self._levels:
            self._over = True
        elif len(self._levels) == 1 and self._may_be_envelope:
            self.envelope_end = end

    def _start_container(self, *, is_object: bool) -> None:
        self._begin_value(opens=True)
        if not self._levels and not is_object:
            self._may_be_envelope = False
        if len(self._levels) == MAX_LEVELS or self._wants_key:
            self.failed = True
            return
        self._levels.append(_Level(self._value_position(), is_object=is_object))
        self._wants_key = is_object

    def _end_container(self, length: int) -> None:
        if not self._levels:
            self.failed = True
            return
        self._levels.pop()
        self._wants_key = False
        self._end_value(self._at + length)

    def _next(self) -> None:
        if not self._levels:
            self.failed = True
            return
        level = self._levels[-1]
        self._wants_key = level.is_object
        if not level.is_object:
            level.count += 1
        elif len(self._levels) == 1:  # a second key
            self._may_be_envelope = False


def container_in(literal: str) -> str | None:
    """The text of a string literal if that is the JSON of an object or an array; None if it is not.

    Also the JSON of a string that holds one.
    """
    try:
        text = msgspec.json.decode(literal, type=str).strip()
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if isinstance(value, str):
        return container_in(text)
    return text if isinstance(value, dict | list) else None


def _opening_of(piece: str) -> Literal["", "blank", "json"]:
    """Whether a string that continues with this piece looks like JSON; ``blank`` if that is not known yet."""
    if piece in _BLANK_ESCAPES:
        return "blank"
    if piece[0] == "\\":
        return "json" if piece == r"\"" else ""
    text = piece.lstrip(" ")
    return "blank" if not text else "json" if text[0] in "[{" else ""
