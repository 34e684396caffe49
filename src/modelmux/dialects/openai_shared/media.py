"""Images and documents of content parts, and the removal of blank text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final, TypeVar

from modelmux.claude.file_kinds import recognise
from modelmux.claude.media import file, sniff
from modelmux.claude.request import RemoteFile
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic

#: Characters of a document's title.
MAX_TITLE: Final = 500
_DATA_URL: Final = re.compile(r"data:(?P<type>[^;,]*)(?P<params>(?:;[^,]*)?),", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_REMOTE: Final = re.compile(r"https?://", re.IGNORECASE)

UserBlock = anthropic.TextBlock | anthropic.ImageBlock | anthropic.DocumentBlock
B = TypeVar("B", bound=UserBlock)


def drop_blank_text(blocks: Iterable[B]) -> tuple[list[B], anthropic.CacheControl | None]:
    """The blocks without blank text, because Anthropic rejects it. A cache breakpoint on it moves to the block before
    it, or else to the one after it, unless that has its own.

    :returns: the blocks, and a breakpoint without a block to set it on.
    """
    result: list[B] = []
    orphan: anthropic.CacheControl | None = None
    for block in blocks:
        marker = block.cache_control
        if not isinstance(block, anthropic.TextBlock) or (block.text and not block.text.isspace()):
            block.cache_control = marker or orphan
            result.append(block)
            orphan = None
        elif result:
            result[-1].cache_control = result[-1].cache_control or marker
        elif marker is not None:
            orphan = marker
    return result, orphan


def image_block(url: str, detail: str | None, ctx: TranslationContext, field: str) -> UserBlock:
    """What was sent as an image, by its URL or in base64, as the block that its bytes are for. A remote file is
    downloaded later.

    :param field: path of the URL.
    :raises InvalidRequest: not a URL, or not of a file that Claude reads.
    """
    if detail not in (None, "", "auto"):
        ctx.notices.add("ignored", f"{field}.detail", "Claude sees every image in full.")
    if _REMOTE.match(url):
        ctx.remote_files.setdefault((url, "image"), RemoteFile(url, "image", field))
        return anthropic.ImageBlock(anthropic.URLSource(url))
    media_type, data = _decode_image(url, field)
    return file(media_type, data, None, field, as_image=True)


def document_block(url: str, filename: str | None, ctx: TranslationContext, field: str) -> UserBlock:
    """What was sent as a file, by its URL or in base64, as the block that its bytes are for. A remote file is
    downloaded later.

    :param field: path of the URL; the name of the file is beside it.
    :raises InvalidRequest: not a URL, or not of a file that Claude reads.
    """
    title = document_title(filename, ctx, field)
    if _REMOTE.match(url):
        ctx.remote_files.setdefault((url, "document"), RemoteFile(url, "document", field))
        return anthropic.DocumentBlock(anthropic.URLSource(url), title)
    if url and not _SCHEME.match(url):
        hint = "Send data:application/pdf;base64,… instead, or check its padding."
        media_type, data = "", decode_base64(url, "file", field, hint)
    else:
        media_type, data = decode_data_url(url, field, "application/pdf")
    block = file(media_type, data, title, field, as_image=False)
    if title is not None and isinstance(block, anthropic.ImageBlock):
        name = f"{field.rpartition('.')[0]}.filename"
        ctx.notices.add("ignored", name, "The file is an image, which has no title.")
    return block


def document_title(filename: str | None, ctx: TranslationContext, field: str) -> str | None:
    """The title of a document: the name of its file, which is beside ``field``."""
    title = (filename or "")[:MAX_TITLE] or None
    if title != (filename or None):
        name = f"{field.rpartition('.')[0]}.filename"
        ctx.notices.add("clamped", name, f"A title has at most {MAX_TITLE} characters.")
    return title


def decode_data_url(url: str, field: str, media_type: str = "image/png") -> tuple[str, bytes]:
    """Media type and bytes of a data URL.

    :param media_type: what the field is for, for the hint.
    :raises InvalidRequest: another kind of URL, or not base64.
    """
    head = _DATA_URL.match(url)
    if not head:
        raise InvalidRequest(
            "Only data:, http: and https: URLs can be read.",
            param=field,
            hint=f"Send data:{media_type};base64,… instead.",
        )
    if "base64" not in head["params"].lower().split(";"):
        raise InvalidRequest("The data URL is not base64.", param=field, hint="Send data:TYPE;base64,DATA.")
    return head["type"].strip().lower(), decode_base64(url[head.end() :], "data URL", field)


def decode_base64(text: str, what: str, field: str, hint: str = "Check its padding.") -> bytes:
    """:raises InvalidRequest: not base64."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"The {what} is not valid base64.", param=field, hint=hint) from None


def _decode_image(url: str, field: str) -> tuple[str, bytes]:
    """Also base64 without the head of a data URL, if it is that of a file which its first bytes tell."""
    if url and not _SCHEME.match(url):
        try:
            data = decode_base64(url, "file", field)
        except InvalidRequest:
            data = b""
        if sniff(data) is not None or recognise(data) is not None:
            return "", data
    return decode_data_url(url, field)
