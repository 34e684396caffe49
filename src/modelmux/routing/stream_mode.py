"""Which client gets which kind of stream: headers and a table of rules -> a mode. It knows nothing of streams.

A client that requests a stream gets one. The mode decides only into how many pieces it is divided, with one exception:
``json`` answers with a JSON object, and applies only where a rule of the operator says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

Mode = Literal["standard", "buffered", "single", "json"]
Headers = Sequence[tuple[bytes, bytes]]


class ClientRule(Struct, frozen=True):
    """The mode of the clients that match. Every condition that is set has to hold, in any case; a rule without
    conditions matches every client.

    :param user_agent: substring of the User-Agent header; with a leading space it matches only at the start of a word.
    :param header: name of a header that must be present.
    :param contains: substring of that header's value.
    """

    mode: Mode
    user_agent: str | None = None
    header: str | None = None
    contains: str | None = None


def _single(header: str, contains: str) -> ClientRule:
    return ClientRule("single", header=header, contains=contains)


def _buffered(user_agent: str) -> ClientRule:
    return ClientRule("buffered", user_agent=user_agent)


#: Clients that are known to work better with larger pieces, or with one. docs/streaming.md shows this table.
BUILTIN: Final = (
    # goose, as its desktop program and its containers identify themselves
    _single("openai-organization", "basebox"),
    _single("openai-project", "gui"),
    # JetBrains IDEs
    *map(_buffered, ("jetbrains", "intellij", "rustrover", "pycharm", "clion", "webstorm", "phpstorm")),
    # VS Code
    *map(_buffered, ("vscode", "visual studio code")),
    # browsers; edge servers send "vercel-edge" and the like, so Edge matches only at the start of a word
    *map(_buffered, ("chrome", "firefox", "safari", " edge")),
)

_AGENT: Final = b"user-agent"
#: How many combinations of headers are remembered with their mode, and the most bytes that one may have.
MAX_MODES: Final = 512
MAX_BYTES: Final = 1024


class StreamModes:
    """Finds the mode for a client that requests a stream.

    The operator's rules come first, and the first match decides; then the operator's mode; then, if that is ``auto``,
    the built-in rules. A client that matches none gets ``standard``.

    :param mode: ``auto`` or a mode.
    :param rules: the operator's.
    """

    def __init__(self, mode: Mode | Literal["auto"] = "auto", rules: Iterable[ClientRule] = ()) -> None:
        self._default: Mode = "standard" if mode == "auto" else mode
        #: For each rule: one or two pairs of a header's name and a substring of its value; and the mode.
        self._tests = [(_conditions(rule), rule.mode) for rule in (*rules, *(BUILTIN if mode == "auto" else ()))]
        self._names = frozenset(name for conditions, _ in self._tests for name, _ in conditions)
        self._modes: dict[tuple[tuple[bytes, bytes], ...], Mode] = {}  # by the headers that the rules look at

    def find(self, headers: Headers) -> Mode:
        """The mode for a request with these headers (names in lower case, values in any encoding)."""
        names = self._names
        relevant = tuple([(name, value) for name, value in headers if name in names])
        mode = self._modes.get(relevant)
        if mode is None:
            mode = self._match(relevant)
            if len(self._modes) < MAX_MODES and sum(len(value) for _, value in relevant) <= MAX_BYTES:
                self._modes[relevant] = mode
        return mode

    def _match(self, headers: Headers) -> Mode:
        values: dict[bytes, str] = {}
        for name, value in headers:  # the line break separates repeated headers, the space starts a word
            values[name] = f"{values.get(name, '')}\n {_text(value)}"
        for conditions, mode in self._tests:
            for name, part in conditions:
                text = values.get(name)
                if text is None or part not in text:
                    break
            else:
                return mode
        return self._default


def _conditions(rule: ClientRule) -> list[tuple[bytes, str]]:
    conditions = [] if rule.header is None else [(rule.header.lower().encode(), (rule.contains or "").lower())]
    return conditions if rule.user_agent is None else [(_AGENT, rule.user_agent.lower()), *conditions]


def _text(value: bytes) -> str:
    """A header's value for comparison: UTF-8 or Latin-1, which the header does not say."""
    try:
        return value.decode().lower()
    except UnicodeDecodeError:
        return value.decode("latin-1").lower()
