"""Edits of a JSON document in its own bytes: members are replaced, removed or added, everything else stays as it was
written, spacing, escapes, order and numbers included.

Only the containers on the way to an edit are read. An object that names a key twice is rejected: two readers could
take different values from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

#: Keys and indexes from the root of a document to one value.
Path = tuple[str | int, ...]
#: Path -> the new value in JSON; None removes the member. A key that its object does not have yet is added in front.
Edits = Mapping[Path, bytes | None]


class DuplicateKey(ValueError):
    """An object names a key twice. ``path`` is that of the key."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{dotted(path)} occurs twice")
        self.path = path


class Member(Struct, frozen=True):
    """A member of an object or array: ``[start, end)`` is all of it, ``[value, end)`` its value."""

    key: str | int
    start: int
    value: int
    end: int


def dotted(path: Path) -> str:
    """A path as it is shown to people: ``messages.0.content``."""
    return ".".join(map(str, path))


def members_of(data: bytes, path: Path = ()) -> list[Member]:
    """The members of an object or array, in order.

    :param data: valid JSON; white space around it is allowed.
    :param path: of ``data`` in its document, for errors.
    :raises DuplicateKey:
    """
    start = _opening(data)
    if data[start : start + 1] == b"{":
        return _object_members(data, start + 1, path)
    return _array_members(data, start + 1)


def edit(data: bytes, edits: Edits) -> bytes:
    """The document with its edits.

    :param data: valid JSON.
    :param edits: every container on a path exists; only its last key may be new.
    :raises DuplicateKey: in an object on the way to an edit.
    """
    return _edit(data, _tree(edits), ()) if edits else data


class _Branch(dict[str | int, "_Branch | bytes | None"]):
    """Edits below one container."""


def _tree(edits: Edits) -> _Branch:
    root = _Branch()
    for path, value in edits.items():
        branch = root
        for key in path[:-1]:
            below = branch.setdefault(key, _Branch())
            if not isinstance(below, _Branch):  # the container is replaced or removed: that says it all
                break
            branch = below
        else:
            branch[path[-1]] = value
    return root


def _edit(data: bytes, branch: _Branch, path: Path) -> bytes:
    members = members_of(data, path)
    start = _opening(data) + 1
    added = _added(branch, members)
    view = memoryview(data)
    pieces: list[bytes | memoryview] = [view[:start], added]
    if added and members and branch.get(members[0].key, _UNCHANGED) is not None:
        pieces.append(b",")
    copied, end, is_first = start, start, not added  # what is copied, and the end of the last member that stays
    for index, member in enumerate(members):
        change = branch.get(member.key, _UNCHANGED)
        if change is None:
            pieces.append(view[copied:end])
            is_last = index + 1 == len(members)
            # The comma after a first member goes with it; otherwise the one before the member does.
            copied = member.end if is_last or not is_first else data.index(b",", member.end) + 1
            end = copied
            continue
        is_first, end = False, member.end
        if not isinstance(change, _Unchanged):
            value = data[member.value : end]
            new = _edit(value, change, (*path, member.key)) if isinstance(change, _Branch) else change
            pieces += [view[copied : member.value], new]
            copied = end
    return b"".join([*pieces, view[copied:]])


def _added(branch: _Branch, members: list[Member]) -> bytes:
    """The members that an object does not have yet."""
    new = branch.keys() - {member.key for member in members}
    if not new:
        return b""
    return b",".join(
        msgspec.json.encode(key) + b":" + value
        for key, value in branch.items()
        if isinstance(value, bytes) and key in new
    )


class _Unchanged:
    pass


_UNCHANGED: Final = _Unchanged()

_objects: Final = msgspec.json.Decoder(dict[str, Raw])
_arrays: Final = msgspec.json.Decoder(list[Raw])
_keys: Final = msgspec.json.Decoder(str)
_OPENING: Final = re.compile(rb"[ \t\r\n]*")
_KEY: Final = re.compile(rb'[ \t\r\n,]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*:[ \t\r\n]*')
_GAP: Final = re.compile(rb"[ \t\r\n,]*")
_AFTER_VALUE: Final = b" \t\r\n,}"


def _opening(data: bytes) -> int:
    match = _OPENING.match(data)
    assert match is not None  # it may be empty
    return match.end()


def _object_members(data: bytes, position: int, path: Path) -> list[Member]:
    begin, members = position, list[Member]()
    for key, raw in _objects.decode(data).items():  # of two members with one name, the value is that of the last
        match, value = _KEY.match(data, position), bytes(raw)
        if match is None or _keys.decode(match[1]) != key or not data.startswith(value, match.end()):
            raise _duplicate(data, begin, path)
        position = match.end() + len(value)
        if data[position] not in _AFTER_VALUE:  # the first of two numbers, 12 and 1
            raise _duplicate(data, begin, path)
        members.append(Member(key, match.start(1), match.end(), position))
    if _KEY.match(data, position) is not None:
        raise _duplicate(data, begin, path)
    return members


def _duplicate(data: bytes, position: int, path: Path) -> DuplicateKey:
    """The error for an object whose members are not those that were decoded."""
    values = {key: bytes(value) for key, value in _objects.decode(data).items()}
    while True:
        match = _KEY.match(data, position)
        assert match is not None  # the second of the two is found before the end
        key = _keys.decode(match[1])
        value = values.pop(key, None)
        position = match.end() + len(value or b"")
        if value is None or not data.startswith(value, match.end()) or data[position] not in _AFTER_VALUE:
            return DuplicateKey((*path, key))


def _array_members(data: bytes, position: int) -> list[Member]:
    members: list[Member] = []
    for index, size in enumerate(_sizes(_arrays.decode(data))):
        match = _GAP.match(data, position)
        assert match is not None  # it may be empty
        position = match.end() + size
        members.append(Member(index, match.end(), match.end(), position))
    return members


def _sizes(values: Iterable[Raw]) -> Iterable[int]:
    return (memoryview(value).nbytes for value in values)
