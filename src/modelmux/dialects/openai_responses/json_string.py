"""The value of ``{"input": "…"}`` while its JSON still arrives: the text of a custom tool call."""

from __future__ import annotations

import re
from typing import Final, Literal

from modelmux.dialects.openai_shared.tool_input import free_text

_OPENING: Final = re.compile(r'\s*\{\s*"input"\s*:\s*"')
#: What may still become the opening.
_PARTIAL_OPENING: Final = re.compile(r'\s*(?:\{\s*(?:"(?:i(?:n(?:p(?:u(?:t(?:"\s*(?::\s*)?)?)?)?)?)?)?)?)?\Z')
#: Text without escapes; a complete escape, for a surrogate pair both halves; the closing quote. Always matches.
_TOKEN: Final = re.compile(
    r'(?P<plain>[^"\\]+)'
    r"|\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u(?P<unit>[0-9a-fA-F]{4})"
    r"|\\(?P<short>.)"
    r'|(?P<end>")',
    re.DOTALL,
)
_UNIT: Final = re.compile(r"\\u[0-9a-fA-F]{4}")
#: What may not be a complete escape: half of one, or a high surrogate, whose other half may follow.
_MAYBE_PARTIAL: Final = re.compile(
    r"\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?\Z"
)
_SHORT: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_REPLACEMENT: Final = "\ufffd"


class InputString:
    """Decodes the arguments of a custom tool call, whose first key is ``input`` and holds a string.

    Other arguments are buffered: then the text is known at their end. Whatever follows the string is ignored. Half a
    surrogate pair becomes U+FFFD.
    """

    __slots__ = ("_buffered", "_pending", "_state")

    def __init__(self) -> None:
        self._state: Literal["opening", "string", "ended", "other"] = "opening"
        self._pending = ""
        self._buffered: list[str] = []

    def feed(self, arguments: str) -> str:
        """The text that is certain so far."""
        if self._state == "other":
            self._buffered.append(arguments)
        if self._state in ("ended", "other"):
            return ""
        self._pending += arguments
        if self._state == "opening":
            opening = _OPENING.match(self._pending)
            if opening is None:
                if not _PARTIAL_OPENING.match(self._pending):
                    self._state = "other"
                    self._buffered.append(self._pending)
                return ""
            self._state = "string"
            self._pending = self._pending[opening.end() :]
        return self._decode(last=False)

    def finish(self) -> str:
        """The rest of the text. An escape that was cut off is left out."""
        if self._state == "string":
            return self._decode(last=True)
        return "" if self._state == "ended" else free_text("".join(self._buffered) or self._pending)

    def _decode(self, *, last: bool) -> str:
        pending, parts, at = self._pending, [], 0
        while at < len(pending):
            if _MAYBE_PARTIAL.match(pending, at) and not (last and _UNIT.match(pending, at)):
                break
            match = _TOKEN.match(pending, at)
            assert match is not None
            at = match.end()
            if match["end"]:
                self._state = "ended"
                break
            parts.append(_text_of(match))
        self._pending = pending[at:]
        return "".join(parts)


def _text_of(match: re.Match[str]) -> str:
    if match["plain"]:
        return match["plain"]
    if match["high"]:
        return chr(0x10000 + ((int(match["high"], 16) - 0xD800) << 10) + (int(match["low"], 16) - 0xDC00))
    if match["unit"]:
        code = int(match["unit"], 16)
        return _REPLACEMENT if 0xD800 <= code < 0xE000 else chr(code)
    return _SHORT.get(match["short"], match["short"])
