"""What the rewriting of one request collects, and the errors it raises."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from modelmux.claude.notices import Notices
from modelmux.errors import InvalidRequest
from modelmux.wire.json_types import json_type
from modelmux.wire.openai import common

Json = dict[str, Any]

#: What looks like the name of a type. Anything else that stands in its place may be a secret and is not quoted.
_WORDS: Final = r"([a-z]{1,20}([A-Z][a-z]{1,20}){0,3}|([A-Z][a-z]{1,20}){1,4})"
_TYPE_NAME: Final = re.compile(rf"{_WORDS}([_:-]{_WORDS}){{0,4}}([_-]\d{{4}}_?\d{{2}}_?\d{{2}})?")
#: A path inside a message: with dots, or in quotes.
_PATH: Final = re.compile(r"(?<=')[\w.]+(?=')|\w+(?:\.\w+)+")
#: Characters of an unknown value that are compared with those taken.
_LONGEST: Final = 64
#: A field that was taken for another one may be rewritten once more.
_RENAMED_TWICE: Final = 2


class Rewrite:
    """Notices, and where the client wrote what stands at another place now.

    ``positions`` maps the path of a message, part, call or tool of the rewritten request to the client's;
    ``members`` maps paths inside of these, which begin with the client's path, to the client's spelling.
    """

    __slots__ = ("members", "notices", "positions")

    def __init__(self, notices: Notices | None = None) -> None:
        self.notices = Notices() if notices is None else notices
        self.positions: dict[str, str] = {}
        self.members: dict[str, str] = {}

    def moved(self, path: str, origin: str) -> None:
        """:param origin: the client's path of what stands at ``path`` now."""
        self.positions[path] = origin

    def renamed(self, path: str, origin: str) -> None:
        """:param path: a member of what the client wrote, by its name in Chat Completions."""
        self.members[path] = origin

    def client_path(self, path: str) -> str:
        """The client's path for a path of the rewritten request."""
        return self.client_spelling(_replace_prefix(path, self.positions))

    def client_spelling(self, path: str) -> str:
        """The same for a path that begins with the client's position."""
        if not self.members:
            return path
        for _ in range(_RENAMED_TWICE):
            replaced = _replace_prefix(path, self.members)
            if replaced is path:
                break
            path = replaced
        return path

    def completed(self, field: str, reason: str) -> None:
        """A notice for an omission that was filled in."""
        self.notices.add("changed", field, reason)

    def left_out(self, field: str, reason: str) -> None:
        self.notices.add("dropped", field, reason)


def in_client_terms(error: InvalidRequest, rewrite: Rewrite) -> InvalidRequest:
    """An error about the rewritten request, in terms of what the client wrote."""
    message = _PATH.sub(lambda match: rewrite.client_path(match[0]), error.message)
    param = rewrite.client_path(error.param) if error.param is not None else None
    return InvalidRequest(message, param=param, hint=error.hint, code=error.code)


def without(value: Json, *names: str) -> Json:
    """The members that were not read: they stay, so that the decoder reports them."""
    return {name: member for name, member in value.items() if name not in names}


def unread(value: Json, *names: str) -> list[str]:
    """The names of the members that were not read and say something: null says nothing."""
    return [name for name, member in value.items() if member is not None and name not in names]


def first(value: Json, *names: str) -> Any:
    """The first member that is there and not null."""
    for name in names:
        member = value.get(name)
        if member is not None:
            return member
    return None


def as_json(value: Any) -> str:
    """A value or a struct as JSON text.

    :raises InvalidRequest: nested too deeply."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        raise common.nested_too_deeply() from None


def unknown_value(value: Any, field: str, taken: Iterable[str]) -> InvalidRequest:
    """The error for a value that is not one of those taken. It quotes what looks like the name of a type,
    and suggests the nearest of those taken."""
    met = f"expected a string, got {json_type(value)}"
    if isinstance(value, str):
        met = f"unknown value '{value}'" if is_type_name(value) else "unknown value"
    names = list(dict.fromkeys(taken))
    close = difflib.get_close_matches(value[:_LONGEST].lower(), names, n=1) if isinstance(value, str) else []
    hint = "Use one of: {}.".format(", ".join(names))
    if close:
        hint = f"Did you mean '{close[0]}'? {hint}"
    return InvalidRequest(f"Invalid value for '{field}': {met}.", param=field, hint=hint)


def is_type_name(value: Any) -> bool:
    """Whether a value looks like the name of a type, so that an error may quote it."""
    return isinstance(value, str) and _TYPE_NAME.fullmatch(value) is not None


def wrong_type(value: Any, field: str, wanted: str) -> InvalidRequest:
    """:param wanted: what the field takes, with its article."""
    return InvalidRequest(f"Invalid value for '{field}': expected {wanted}, got {json_type(value)}.", param=field)


def missing(field: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{field}'.", param=field, code="missing_required_parameter")


def _replace_prefix(path: str, names: dict[str, str]) -> str:
    """The path with its longest prefix in ``names`` replaced."""
    end = len(path) if names else 0
    while end > 0:
        replacement = names.get(path[:end])
        if replacement is not None:
            return replacement + path[end:]
        end = path.rfind(".", 0, end)
    return path
