"""Who gets which kind of stream: headers and a table of rules -> a mode. Nothing here knows what a stream is.

Whoever asks for a stream gets one. A mode says only in what pieces, and ``json`` alone, which nobody gets unless a rule
of the operator's says so, answers with something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

Mode = Literal["standard", "buffered", "never", "json"]
Headers = Sequence[tuple[bytes, bytes]]


class ClientRule(Struct, frozen=True):
    """The mode of the clients that match: all that is given here has to, in any case; a rule that gives nothing
    matches every client.

    :param user_agent: part of the User-Agent header; one that begins with a space begins a word.
    :param header: name of a header that has to be there.
    :param contains: part of that header's value.
    """

    mode: Mode
    user_agent: str | None = None
    header: str | None = None
    contains: str | None = None


def _whole(header: str, contains: str) -> ClientRule:
    return ClientRule("never", header=header, contains=contains)


def _buffered(user_agent: str) -> ClientRule:
    return ClientRule("buffered", user_agent=user_agent)


#: Clients that are known to do better with larger pieces, or with one. docs/streaming.md shows this table.
BUILTIN: Final = (
    # goose, as its desktop program and its containers announce themselves
    _whole("openai-organization", "basebox"),
    _whole("openai-project", "gui"),
    # JetBrains IDEs
    *map(_buffered, ("jetbrains", "intellij", "rustrover", "pycharm", "clion", "webstorm", "phpstorm")),
    # VS Code
    *map(_buffered, ("vscode", "visual studio code")),
    # browsers; servers at a network's edge say "vercel-edge" and the like, so Edge has to begin a word
    *map(_buffered, ("chrome", "firefox", "safari", " edge")),
)

_AGENT: Final = b"user-agent"


class StreamModes:
    """Finds the mode for a client that asks for a stream.

    An operator's rules come first, the first that matches decides; then the operator's mode; then, where that is
    ``auto``, the built-in rules; what none of them knows gets the stream as the upstream sends it.

    :param mode: ``auto`` or a mode.
    :param rules: the operator's.
    """

    def __init__(self, mode: Mode | Literal["auto"] = "auto", rules: Iterable[ClientRule] = ()) -> None:
        self._default: Mode = "standard" if mode == "auto" else mode
        #: Name of a header and what it has to hold, once or twice, for each rule.
        self._tests = [(_wants(rule), rule.mode) for rule in (*rules, *(BUILTIN if mode == "auto" else ()))]
        self._names = frozenset(name for wants, _ in self._tests for name, _ in wants)

    def find(self, headers: Headers) -> Mode:
        """The mode for a request with these headers (names in lower case, values in any encoding)."""
        found: dict[bytes, str] = {}
        for name, value in headers:
            if name in self._names:  # the line end keeps repeated headers apart, the space begins a word
                found[name] = f"{found.get(name, '')}\n {_text(value)}"
        for wants, mode in self._tests:
            for name, part in wants:
                text = found.get(name)
                if text is None or part not in text:
                    break
            else:
                return mode
        return self._default


def _wants(rule: ClientRule) -> list[tuple[bytes, str]]:
    wants = [] if rule.header is None else [(rule.header.lower().encode(), (rule.contains or "").lower())]
    return wants if rule.user_agent is None else [(_AGENT, rule.user_agent.lower()), *wants]


def _text(value: bytes) -> str:
    """A header's value for comparing: they are UTF-8 or Latin-1, and nobody says which."""
    try:
        return value.decode().lower()
    except UnicodeDecodeError:
        return value.decode("latin-1").lower()
