"""Whom a request is attributed to: the tags and the end user that a client names. Claims, which give no rights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

#: Tags of one request; of more, the first ones count.
MAX_TAGS: Final = 16
_NAME: Final = re.compile(r"[a-z0-9_.-]{1,64}")
_VALUE: Final = re.compile(r"[\x21-\x7e]{1,256}")
#: Characters of an end user's name.
MAX_END_USER: Final = 256

Tags = tuple[tuple[str, str], ...]


def is_tag(name: str, value: str) -> bool:
    """Whether this can be a tag: a name of ``a-z0-9_.-``, a value of printable ASCII."""
    return is_tag_name(name) and _VALUE.fullmatch(value) is not None


def tags_of(header: str | None, metadata: Mapping[str, Any] | None = None) -> Tags:
    """Tags from ``x-modelmux-tags: app=chat,env=prod`` and from OpenAI's ``metadata``, sorted; the header's win.

    What is not a tag is left out: names of ``a-z0-9_.-``, values of printable ASCII.
    """
    tags: dict[str, str] = {}
    pairs = [part.partition("=")[::2] for part in (header or "").split(",")]
    for name, value in (*pairs, *(metadata or {}).items()):
        if not isinstance(value, str):
            continue
        name, value = name.strip(), value.strip()
        if len(tags) < MAX_TAGS and name not in tags and is_tag(name, value):
            tags[name] = value
    return tuple(sorted(tags.items()))


def is_tag_name(text: str) -> bool:
    """Whether a tag may have this name."""
    return _NAME.fullmatch(text) is not None


def end_user_of(headers: Iterable[tuple[bytes, bytes]], mapped: Sequence[bytes], claimed: str | None) -> str | None:
    """The first of the mapped headers that the client sent, else what the body says.

    :param mapped: names of headers in lower case, in order of precedence.
    """
    if not mapped:
        return claimed[:MAX_END_USER] or None if claimed else None
    sent = {name: value for name, value in reversed(list(headers)) if name in mapped}
    named = next((sent[name].decode("latin-1").strip() for name in mapped if sent.get(name, b"").strip()), None)
    return (named or claimed or "")[:MAX_END_USER] or None
