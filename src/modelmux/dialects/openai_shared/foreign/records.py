"""Tells content parts from the JSON that tools return, which may have a ``type``, too.

A tool may list files as ``{"type": "file", "name": "a.txt"}``. An element of its result is a part only if it has what a
part of its type needs; otherwise the result is data, and is sent as JSON text.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final

from modelmux.claude.media import sniff
from modelmux.dialects.openai_shared.foreign.rewrite import Json, first

#: Names of the member that says what a part's data is.
MEDIA_TYPES: Final = ("media_type", "mimeType", "mediaType", "mime_type")
#: Members that hold a file in base64 or as a URL.
_DATA: Final = ("data", "base64", "image", "url", "file")
#: Characters of base64 that hold the first bytes by which the type of a file is told.
_HEAD: Final = 24
_SOURCES: Final = ("data", "url", "content", "file_id")


def is_part(value: Any) -> bool:
    """Whether JSON that a tool returned is a content part."""
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    has = _NEEDED.get(kind) if isinstance(kind, str) else None
    return has is not None and has(value)


def is_result(value: Any) -> bool:
    """Whether a value is Anthropic's ``tool_result``."""
    ids = ("tool_use_id", "tool_call_id", "call_id", "toolCallId", "content")
    return isinstance(value, dict) and value.get("type") == "tool_result" and any(name in value for name in ids)


def sniff_base64(text: str) -> str | None:
    """The media type of a file in base64 by its first bytes, among those Claude reads."""
    head = text[:_HEAD]
    try:
        return sniff(base64.b64decode(head[: len(head) // 4 * 4], validate=True))
    except (binascii.Error, ValueError):
        return None


def _text(value: Json) -> bool:
    return isinstance(value.get("text"), str)


def _image_url(value: Json) -> bool:
    url = first(value, "image_url", "url")
    return isinstance(url, str | dict) or isinstance(value.get("file_id"), str)


def _media(value: Json) -> bool:
    """A file with its type, or one whose bytes or URL tell it. A link to a page is none."""
    source = value.get("source")
    if isinstance(source, dict):
        return any(source.get(name) is not None for name in _SOURCES)
    data = first(value, *_DATA)
    if not isinstance(data, str):
        return False
    typed = isinstance(first(value, *MEDIA_TYPES), str)
    return typed or data[:5].lower() == "data:" or sniff_base64(data) is not None


def _image(value: Json) -> bool:
    return _media(value) or isinstance(value.get("image_url"), str | dict)


def _file(value: Json) -> bool:
    names = ("file_data", "file_url", "file_id")
    file = value.get("file")
    if isinstance(file, dict):
        return any(isinstance(file.get(name), str) for name in names)
    return any(isinstance(value.get(name), str | dict) for name in (*names, "document_url")) or _media(value)


def _resource(value: Json) -> bool:
    resource = value.get("resource")
    return isinstance(resource, dict) and isinstance(first(resource, "text", "blob"), str)


def _search_result(value: Json) -> bool:
    return isinstance(value.get("source"), str) and isinstance(value.get("content"), list)


def _has(name: str, kind: type) -> Callable[[Json], bool]:
    return lambda value: isinstance(value.get(name), kind)


_NEEDED: Final[dict[str, Callable[[Json], bool]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "summary_text": _text,
    "refusal": _has("refusal", str),
    "image_url": _image_url,
    "input_image": _image_url,
    "image": _image,
    "document": _media,
    "file": _file,
    "input_file": _file,
    "file_url": _file,
    "document_url": _file,
    "resource": _resource,
    "resource_link": _has("uri", str),
    "search_result": _search_result,
    "audio": _media,
    "input_audio": _has("input_audio", dict),
}
