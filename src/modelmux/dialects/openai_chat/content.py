"""Content parts of messages -> Anthropic blocks: text, images and documents."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final, TypeVar

from modelmux.claude.media import document, image
from modelmux.claude.request import RemoteFile
from modelmux.dialects.openai_chat.caching import read_breakpoint
from modelmux.dialects.openai_chat.context import TranslationContext
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import (
    Content,
    FilePart,
    ImagePart,
    ImageURL,
    Part,
    RedactedThinkingPart,
    RefusalPart,
    TextPart,
    ThinkingPart,
)

#: Characters of a document's title.
MAX_TITLE: Final = 500
_DATA_URL: Final = re.compile(r"data:(?P<type>[^;,]*)(?P<params>(?:;[^,]*)?),", re.IGNORECASE)
_REMOTE: Final = re.compile(r"https?://", re.IGNORECASE)
_THINKING: Final = (ThinkingPart, RedactedThinkingPart)

UserBlock = anthropic.TextBlock | anthropic.ImageBlock | anthropic.DocumentBlock
B = TypeVar("B", bound=UserBlock)


def text_blocks(content: Content, path: str) -> list[anthropic.TextBlock]:
    """Content that may hold only text (system, assistant) as blocks, blank ones included: see ``drop_blank_text``.

    Thinking sent back inside content is skipped here; ``thinking_blocks.py`` reads it.

    :raises InvalidRequest: a part of another kind.
    """
    if isinstance(content, str):
        return [anthropic.TextBlock(content)]
    blocks: list[anthropic.TextBlock] = []
    for index, part in enumerate(content or ()):
        if isinstance(part, TextPart):
            blocks.append(_text(part, f"{path}.content.{index}"))
        elif isinstance(part, RefusalPart):
            blocks.append(anthropic.TextBlock(part.refusal))
        elif not isinstance(part, _THINKING):
            raise InvalidRequest(
                "Only text is allowed here.", param=f"{path}.content.{index}.type", hint="Move it to a user message."
            )
    return blocks


def user_blocks(content: Content, ctx: TranslationContext, path: str) -> list[UserBlock]:
    """User or tool content as blocks, blank text included: see ``drop_blank_text``.

    :raises InvalidRequest: a part that Claude cannot read.
    """
    if isinstance(content, str):
        return [anthropic.TextBlock(content)]
    blocks = [_block(part, ctx, f"{path}.content.{index}") for index, part in enumerate(content or ())]
    return [block for block in blocks if block is not None]


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


def _text(part: TextPart, path: str) -> anthropic.TextBlock:
    return anthropic.TextBlock(part.text, read_breakpoint(part.cache_control, part.prompt_cache_breakpoint, path))


def _block(part: Part, ctx: TranslationContext, path: str) -> UserBlock | None:
    if isinstance(part, TextPart):
        return _text(part, path)
    if isinstance(part, RefusalPart):
        return anthropic.TextBlock(part.refusal)
    if isinstance(part, ImagePart):
        block: UserBlock = _image(part, ctx, path)
    elif isinstance(part, FilePart):
        block = _file(part, ctx, path)
    elif isinstance(part, _THINKING):
        return None
    else:
        raise InvalidRequest(
            "Claude does not accept audio.", param=f"{path}.type", hint="Send a transcript as text instead."
        )
    block.cache_control = read_breakpoint(part.cache_control, part.prompt_cache_breakpoint, path)
    return block


def _image(part: ImagePart, ctx: TranslationContext, path: str) -> anthropic.ImageBlock:
    field = f"{path}.image_url"
    if isinstance(part.image_url, ImageURL):
        url = part.image_url.url
        if part.image_url.detail not in (None, "", "auto"):
            ctx.notices.add("ignored", f"{field}.detail", "Claude sees every image in full.")
    else:
        url = part.image_url
    if _REMOTE.match(url):
        ctx.remote_files.setdefault((url, "image"), RemoteFile(url, "image", path, field))
        return anthropic.ImageBlock(anthropic.URLSource(url))
    media_type, data = _decode_data_url(url, field)
    return image(media_type, data, field)


def _file(part: FilePart, ctx: TranslationContext, path: str) -> anthropic.DocumentBlock:
    file, field = part.file, f"{path}.file.file_data"
    if file.file_id is not None:
        raise InvalidRequest(
            "Vertex AI does not store files.",
            param=f"{path}.file.file_id",
            hint="Send the file as a data URL in file_data.",
        )
    title = (file.filename or "")[:MAX_TITLE] or None
    if title != (file.filename or None):
        ctx.notices.add("clamped", f"{path}.file.filename", f"A title has at most {MAX_TITLE} characters.")
    url = file.file_data or ""
    if _REMOTE.match(url):
        ctx.remote_files.setdefault((url, "document"), RemoteFile(url, "document", path, field))
        return anthropic.DocumentBlock(anthropic.URLSource(url), title)
    media_type, data = _decode_data_url(url, field)
    return document(media_type, data, title, field)


def _decode_data_url(url: str, field: str) -> tuple[str, bytes]:
    """Media type and bytes of a data URL.

    :raises InvalidRequest: another kind of URL, or not base64.
    """
    head = _DATA_URL.match(url)
    if not head:
        raise InvalidRequest(
            "Only data:, http: and https: URLs can be read.", param=field, hint="Send data:image/png;base64,… instead."
        )
    if "base64" not in head["params"].lower().split(";"):
        raise InvalidRequest("The data URL is not base64.", param=field, hint="Send data:TYPE;base64,DATA.")
    try:
        data = base64.b64decode("".join(url[head.end() :].split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("The data URL is not valid base64.", param=field, hint="Check its padding.") from None
    return head["type"].lower(), data
