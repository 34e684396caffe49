"""Content parts: those of Anthropic Messages, Responses and MCP -> those of Chat Completions.

Sources of the shapes: the ``anthropic`` SDK (``types/*_block_param.py``), the ``openai`` SDK
(``types/responses/response_input_content_param.py``), the MCP specification (2025-06-18, "Content"), and for ``file``
parts without a nested object the documentation of the AI SDK.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any, Final

from modelmux.dialects.openai_shared.foreign.records import MEDIA_TYPES, sniff_base64
from modelmux.dialects.openai_shared.foreign.rewrite import (
    Json,
    Rewrite,
    as_json,
    first,
    missing,
    unknown_value,
    unread,
    without,
    wrong_type,
)
from modelmux.errors import InvalidRequest

#: The types of parts that are Chat Completions' own.
PLAIN: Final = ("text", "image_url", "file", "input_audio", "refusal", "thinking", "redacted_thinking")
#: Parts that are calls or results of tools: see ``messages.py``.
CALLS: Final = ("tool_use",)
RESULTS: Final = ("tool_result",)
#: Blocks of a reply that Vertex AI's own tools wrote. Chat Completions cannot carry them.
SERVER_TOOLS: Final = ("server_tool_use", "web_search_tool_result")
#: The member that tells what a part without a type is.
_TELLING: Final = ("text", "image_url", "file", "input_audio", "refusal")
#: Gemini's parts, which have no type, and the names of their members: a file, and the URL of one.
_INLINE: Final = ("inlineData", "inline_data")
_BY_URL: Final = ("fileData", "file_data")
_URIS: Final = ("fileUri", "file_uri")
#: Parts of the AI SDK's ``UIMessage`` that mark a place, and those that only people are shown.
_MARKS: Final = ("step-start",)
_SHOWN: Final = ("source-url", "source-document")
_SHOWN_PREFIX: Final = "data-"


def normalise_parts(content: list[Any], path: str, rewrite: Rewrite, role: str) -> list[tuple[Json, str]]:
    """Parts in Chat Completions' form, each with the client's path of it; calls and results of tools stay as they are.

    :param path: of the content.
    :param role: of the message.
    :raises InvalidRequest: a part of an unknown type.
    """
    positions = [f"{path}.{index}" for index in range(len(content))]
    parts = [
        (normalise_part(value, position, rewrite, role), position)
        for value, position in zip(content, positions, strict=True)
    ]
    return [(part, position) for part, position in parts if part is not None]


def normalise_part(value: Any, path: str, rewrite: Rewrite, role: str = "user") -> Json | None:
    """One part; None for one that cannot be sent, which a notice reports.

    :param role: of the message, which decides what an error lists.
    :raises InvalidRequest: it is of an unknown type.
    """
    if isinstance(value, str):
        return {"type": "text", "text": value}
    if not isinstance(value, dict):
        raise wrong_type(value, path, "a content part")
    value = _without_inline(value, path, rewrite)
    kind = value.get("type") or next((name for name in _TELLING if name in value), None)
    if kind is None:
        raise _untyped(f"{path}.type")
    if kind in _MARKS:
        return None
    if kind in _SHOWN or (isinstance(kind, str) and kind.startswith(_SHOWN_PREFIX)):
        rewrite.left_out(path, "A part that an application shows to people, not to models.")
        return None
    if not isinstance(kind, str) or kind not in PART_TYPES:
        raise unknown_value(kind, f"{path}.type", taken_types(role))
    if kind in SERVER_TOOLS:
        rewrite.left_out(path, "Blocks of Vertex AI's own tools cannot be sent back through Chat Completions.")
        return None
    if not value.get("type"):
        rewrite.completed(f"{path}.type", f"A part without a type that has `{kind}`.")
        value = {**value, "type": kind}
    translate = _FOREIGN.get(kind)
    return translate(value, path, rewrite) if translate is not None else value


def _untyped(field: str) -> InvalidRequest:
    error = missing(field)
    error.hint = f"Use one of: {', '.join(PART_TYPES)}."
    return error


def _without_inline(value: Json, path: str, rewrite: Rewrite) -> Json:
    """Gemini's part with a file as one of type ``file``: what it is, its bytes tell."""
    if value.get("type"):
        return value
    name = next((name for name in (*_INLINE, *_BY_URL) if isinstance(value.get(name), dict)), None)
    if name is None:
        return value
    inner, rest = value[name], without(value, "type", name)
    member = "data" if name in _INLINE else next((name for name in _URIS if name in inner), _URIS[0])
    for unknown in unread(inner, member, "displayName", *MEDIA_TYPES):
        rewrite.notices.ignore_unknown(f"{path}.{name}.{unknown}"[:80], "Not a member of a file.")
    if not isinstance(inner.get(member), str):
        raise missing(f"{path}.{name}.{member}")
    if name in _BY_URL:
        rewrite.renamed(f"{path}.file.file_url", f"{path}.{name}.{member}")
        return {**rest, "type": "file", "file": {"file_url": inner[member]}}
    rewrite.renamed(f"{path}.file.file_data", f"{path}.{name}.data")
    file = {"file_data": _data_url(inner["data"], _media_type(inner, "application/octet-stream"))}
    return {**rest, "type": "file", "file": file}


def _text(value: Json, path: str, rewrite: Rewrite) -> Json:
    del path, rewrite
    return {**value, "type": "text"}


def _image_url(value: Json, path: str, rewrite: Rewrite) -> Json:
    """``input_image``, and ``image_url`` with its URL beside the type."""
    if value.get("image_url") is None:
        if value.get("file_id") is not None:
            raise _stored(f"{path}.file_id")
        if value.get("url") is None:
            raise missing(f"{path}.image_url")
    url = first(value, "image_url", "url")
    if value.get("image_url") is None:
        rewrite.renamed(f"{path}.image_url", f"{path}.url")
    if value.get("detail") is not None:
        url = {"url": url} if isinstance(url, str) else url
        if isinstance(url, dict) and url.get("detail") is None:
            rewrite.renamed(f"{path}.image_url.detail", f"{path}.detail")
            url = {**url, "detail": value["detail"]}
    return {**without(value, "type", "detail", "url", "image_url"), "type": "image_url", "image_url": url}


def _image(value: Json, path: str, rewrite: Rewrite) -> Json:
    """Anthropic's image, MCP's (``data``, ``mimeType``) and the AI SDK's (``image``)."""
    if value.get("source") is None and isinstance(value.get("image_url"), str | dict):
        return _image_url(value, path, rewrite)
    url, rest = _source(value, path, "image/png", rewrite)
    rewrite.renamed(f"{path}.image_url", _source_position(value, path))
    return {**rest, "type": "image_url", "image_url": {"url": url}}


def _document(value: Json, path: str, rewrite: Rewrite) -> Json:
    url, rest = _source(value, path, "application/pdf", rewrite)
    title = rest.pop("title", None)
    _report_citations(rest.pop("citations", None), path, rewrite)
    rewrite.renamed(f"{path}.file.file_data", _source_position(value, path))
    rewrite.renamed(f"{path}.file.filename", f"{path}.title")
    return {**rest, "type": "file", "file": {"file_data": url, "filename": title}}


def _report_citations(value: Any, path: str, rewrite: Rewrite) -> None:
    if value not in (None, {"enabled": False}):
        rewrite.notices.add("ignored", f"{path}.citations", "Citations of documents are not translated.")


def _source_position(value: Json, path: str) -> str:
    source = value.get("source")
    if not isinstance(source, dict):
        return f"{path}.{next((name for name in _DATA if value.get(name) is not None), 'data')}"
    return (
        f"{path}.source.{next((name for name in ('data', 'url', 'content') if source.get(name) is not None), 'data')}"
    )


#: Members of a block that may hold its file.
_DATA: Final = ("data", "base64", "image", "url")


def _source(value: Json, path: str, media_type: str, rewrite: Rewrite) -> tuple[str, Json]:
    """The URL of a block's file, and the members of the block that were not read.

    :param media_type: of data that does not say what it is.
    """
    source = value.get("source")
    if source is None:
        data = first(value, *_DATA)
        names = ("type", *_DATA, *MEDIA_TYPES)
        if not isinstance(data, str):
            raise missing(f"{path}.source")
        return _data_url(data, _media_type(value, media_type)), without(value, *names)
    if not isinstance(source, dict):
        raise wrong_type(source, f"{path}.source", "an object")
    rest = without(value, "type", "source")
    kind = source.get("type") or next((name for name in ("url", "data", "content") if name in source), None)
    if kind == "file" or source.get("file_id") is not None:
        raise _stored(f"{path}.source.file_id")
    name = {"base64": "data", "data": "data", "text": "data", "url": "url", "content": "content"}.get(str(kind))
    if name is None:
        raise unknown_value(kind, f"{path}.source.type", ("base64", "text", "url", "content"))
    for unknown in unread(source, "type", "media_type", name):
        rewrite.notices.ignore_unknown(f"{path}.source.{unknown}"[:80], "Not a member of a source.")
    data = source.get(name)
    if name == "content":
        data = _joined(data, f"{path}.source.content", rewrite)
    if not isinstance(data, str):
        raise missing(f"{path}.source.{name}")
    if name == "content" or kind == "text":
        return f"data:text/plain;base64,{base64.b64encode(data.encode()).decode()}", rest
    return _data_url(data, _media_type(source, media_type)), rest


def _joined(content: Any, path: str, rewrite: Rewrite) -> str | None:
    """The text of a document that is given in blocks, whose other members are reported."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts = []
    for index, block in enumerate(content):
        text = block.get("text") if isinstance(block, dict) else block
        if not isinstance(text, str):
            kind = block.get("type") if isinstance(block, dict) else None
            raise unknown_value(kind, f"{path}.{index}.type", ("text",))
        for unknown in unread(block, "type", "text") if isinstance(block, dict) else ():
            rewrite.notices.ignore_unknown(f"{path}.{index}.{unknown}"[:80], "Only the text of the block is sent.")
        texts.append(text)
    return "\n\n".join(texts)


def _media_type(value: Json, default: str) -> str:
    declared = first(value, *MEDIA_TYPES)
    return declared if isinstance(declared, str) else default


def _data_url(data: str, media_type: str) -> str:
    """Bare base64 as a data URL; URLs as they are."""
    return data if data[:5].lower() in ("data:", "http:", "https") else f"data:{media_type};base64,{data}"


def _stored(field: str) -> InvalidRequest:
    return InvalidRequest("Vertex AI does not store files.", param=field, hint="Send the file itself, in base64.")


def _file(value: Json, path: str, rewrite: Rewrite) -> Json:
    """``input_file``, and ``file`` with its members beside the type."""
    if isinstance(value.get("file"), dict) and value["type"] == "file":
        return value
    file: Json = {}
    names = {
        "file_data": ("file_data", "data", "file", "base64"), "file_url": ("file_url", "url", "document_url"),
        "file_id": ("file_id",), "filename": ("filename", "name", "title", "document_name"),
        "mime_type": MEDIA_TYPES,
    }  # fmt: skip
    for name, spellings in names.items():
        found = next((s for s in spellings if value.get(s) is not None), None)
        if found is not None:
            member = value[found]
            file[name] = member.get("url") if isinstance(member, dict) else member
            rewrite.renamed(f"{path}.file.{name}", f"{path}.{found}")
    rewrite.members.setdefault(f"{path}.file.file_data", f"{path}.file_data")
    return {**without(value, "type", *(s for group in names.values() for s in group)), "type": "file", "file": file}


def _resource(value: Json, path: str, rewrite: Rewrite) -> Json:
    """An embedded resource of MCP: a text, or a file."""
    resource = value.get("resource")
    if not isinstance(resource, dict):
        raise missing(f"{path}.resource")
    rest = without(value, "type", "resource")
    for unknown in unread(resource, "uri", "mimeType", "text", "blob", "name", "title", "_meta"):
        rewrite.notices.ignore_unknown(f"{path}.resource.{unknown}"[:80], "Not a member of a resource.")
    text, blob = resource.get("text"), resource.get("blob")
    if isinstance(text, str):
        return {**rest, "type": "text", "text": text}
    if not isinstance(blob, str):
        raise missing(f"{path}.resource.text")
    rewrite.renamed(f"{path}.file.file_data", f"{path}.resource.blob")
    uri = resource.get("uri")
    is_image = (sniff_base64(blob) or "").startswith("image/")  # which has no title
    name = uri.rpartition("/")[2] if isinstance(uri, str) and not is_image else None
    url = _data_url(blob, _media_type(resource, "application/octet-stream"))
    return {**rest, "type": "file", "file": {"file_data": url, "filename": name}}


def _resource_link(value: Json, path: str, rewrite: Rewrite) -> Json:
    rewrite.completed(path, "A link to a resource is sent as JSON text: nothing is fetched.")
    return {"type": "text", "text": as_json(value)}


def _search_result(value: Json, path: str, rewrite: Rewrite) -> Json:
    """Anthropic's search results of the client's own search, as a document."""
    content = _joined(value.get("content"), f"{path}.content", rewrite)
    _report_citations(value.get("citations"), path, rewrite)
    source, title = value.get("source"), value.get("title")
    texts = [text for text in (title, source, content) if isinstance(text, str) and text]
    rewrite.completed(path, "A search result is sent as text.")
    rest = without(value, "type", "content", "source", "title", "citations")
    return {**rest, "type": "text", "text": "\n\n".join(texts)}


def _audio(value: Json, path: str, rewrite: Rewrite) -> Json:
    del path, rewrite
    return {"type": "input_audio", "input_audio": value}


def _reasoning(value: Json, path: str, rewrite: Rewrite) -> Json:
    """The AI SDK's and OpenRouter's part: thinking, which is sent back if it is signed."""
    del path, rewrite
    rest = without(value, "type", "text", "reasoning", "signature")
    return {
        **rest, "type": "thinking", "thinking": first(value, "text", "reasoning") or "",
        "signature": value.get("signature"),
    }  # fmt: skip


_FOREIGN: Final[dict[str, Callable[[Json, str, Rewrite], Json]]] = {
    "input_text": _text,
    "output_text": _text,
    "summary_text": _text,
    "image_url": lambda value, path, rewrite: (
        value if value.get("image_url") is not None and "detail" not in value else _image_url(value, path, rewrite)
    ),
    "input_image": _image_url,
    "image": _image,
    "document": _document,
    "file": _file,
    "input_file": _file,
    "file_url": _file,
    "document_url": _file,
    "resource": _resource,
    "resource_link": _resource_link,
    "search_result": _search_result,
    "audio": _audio,
    "reasoning": _reasoning,
}
#: Every type of part that can be read, Chat Completions' own first.
PART_TYPES: Final = tuple(dict.fromkeys((*PLAIN, *_FOREIGN, *CALLS, *RESULTS, *SERVER_TOOLS)))
_NOT_TEXT: Final = frozenset((
    "image_url", "input_image", "image", "file", "input_file", "file_url", "document", "document_url",
))  # fmt: skip
_AUDIO_PARTS: Final = frozenset(("input_audio", "audio"))
_THINKING: Final = frozenset(("thinking", "redacted_thinking", "reasoning"))
#: Types that are dropped or refused in a message, by its role.
_NOT_TAKEN: Final = {
    "user": _AUDIO_PARTS | _THINKING | {*CALLS, *SERVER_TOOLS},
    "assistant": _AUDIO_PARTS | _NOT_TEXT | {*RESULTS, *SERVER_TOOLS},
    "system": _AUDIO_PARTS | _NOT_TEXT | _THINKING | {*CALLS, *RESULTS, *SERVER_TOOLS},
}


def taken_types(role: str, types: Iterable[str] = PART_TYPES) -> list[str]:
    """The types of parts that a message of a role may have, for an error.

    :param types: all those of the dialect.
    """
    not_taken = _NOT_TAKEN.get(role, _NOT_TAKEN["system"])
    return [name for name in types if name not in not_taken]
