"""Content parts of messages -> Anthropic blocks: text, images and documents."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from modelmux.claude.caching import breakpoint_of
from modelmux.claude.context import Context
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import (
    ChatRequest,
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

#: Per image, base64-encoded, on Google Cloud (docs: build-with-claude/vision).
MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
#: Characters of a document's title.
MAX_TITLE: Final = 500
_DATA_URL: Final = re.compile(r"data:(?P<type>[^;,]*)(?P<params>(?:;[^,]*)?),", re.IGNORECASE)
_REMOTE: Final = re.compile(r"https?://", re.IGNORECASE)
#: The first bytes that tell a type; what the client or a server claims is not trusted.
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_IMAGES_SAID: Final = "PNG, JPEG, GIF or WebP"

_THINKING: Final = (ThinkingPart, RedactedThinkingPart)

UserBlock = anthropic.TextBlock | anthropic.ImageBlock | anthropic.DocumentBlock
B = TypeVar("B", bound=UserBlock)


def remote_urls(request: ChatRequest) -> dict[str, str]:
    """The http(s) URLs of images and files a request refers to, in order, each with the path of its first place."""
    found: dict[str, str] = {}
    for number, message in enumerate(request.messages):
        content = message.content
        for index, part in enumerate(content if isinstance(content, list) else ()):
            url = _url_of(part)
            if url and _REMOTE.match(url):
                found.setdefault(url, f"messages.{number}.content.{index}")
    return found


def _url_of(part: Part) -> str | None:
    if isinstance(part, ImagePart):
        return part.image_url if isinstance(part.image_url, str) else part.image_url.url
    return part.file.file_data if isinstance(part, FilePart) else None


def texts(content: Content, where: str) -> list[anthropic.TextBlock]:
    """The text blocks of content that may hold only text (system, assistant), blank ones too: see ``not_blank``.

    Thinking sent back inside content is skipped here; ``thinking.py`` reads it.

    :raises InvalidRequest: a part of another kind.
    """
    found: list[anthropic.TextBlock] = []
    for index, part in enumerate([TextPart(content)] if isinstance(content, str) else content or ()):
        if isinstance(part, TextPart):
            found.append(_text(part, f"{where}.content.{index}"))
        elif isinstance(part, RefusalPart):
            found.append(anthropic.TextBlock(part.refusal))
        elif not isinstance(part, _THINKING):
            raise InvalidRequest(
                "Only text is allowed here.", param=f"{where}.content.{index}.type", hint="Move it to a user message."
            )
    return found


def blocks(content: Content, ctx: Context, where: str) -> list[UserBlock]:
    """User or tool content as blocks, blank text too: see ``not_blank``.

    :raises InvalidRequest: a part that Claude cannot read.
    """
    if isinstance(content, str):
        return [anthropic.TextBlock(content)]
    found = [_block(part, ctx, f"{where}.content.{index}") for index, part in enumerate(content or ())]
    return [block for block in found if block is not None]


def not_blank(found: Iterable[B]) -> tuple[list[B], anthropic.CacheControl | None]:
    """Without blank text, because Anthropic refuses it. A cache breakpoint on it moves to the nearest block, the one
    before or else the one after, unless that has its own.

    :returns: the blocks, and a breakpoint that has none to move to.
    """
    kept: list[B] = []
    adrift: anthropic.CacheControl | None = None
    for block in found:
        marker = block.cache_control
        if not isinstance(block, anthropic.TextBlock) or (block.text and not block.text.isspace()):
            block.cache_control = marker or adrift
            kept.append(block)
            adrift = None
        elif kept:
            kept[-1].cache_control = kept[-1].cache_control or marker
        elif marker is not None:
            adrift = marker
    return kept, adrift


def _text(part: TextPart, where: str) -> anthropic.TextBlock:
    marker = breakpoint_of(part.cache_control, part.prompt_cache_breakpoint, where)
    return anthropic.TextBlock(part.text, marker)


def _block(part: Part, ctx: Context, where: str) -> UserBlock | None:
    if isinstance(part, TextPart):
        return _text(part, where)
    if isinstance(part, RefusalPart):
        return anthropic.TextBlock(part.refusal)
    if isinstance(part, ImagePart):
        block: UserBlock = _image(part, ctx, where)
    elif isinstance(part, FilePart):
        block = _file(part, ctx, where)
    elif isinstance(part, _THINKING):
        return None
    else:
        raise InvalidRequest("Claude takes no audio.", param=f"{where}.type", hint="Send a transcript as text instead.")
    block.cache_control = breakpoint_of(part.cache_control, part.prompt_cache_breakpoint, where)
    return block


def _image(part: ImagePart, ctx: Context, where: str) -> UserBlock:
    url, where = _url_of(part) or "", f"{where}.image_url"
    if isinstance(part.image_url, ImageURL) and part.image_url.detail not in (None, "", "auto"):
        ctx.notices.add("ignored", f"{where}.detail", "Claude sees every image in full.")
    asset = ctx.assets.get(url)
    if isinstance(asset, anthropic.ImageBlock):
        return anthropic.ImageBlock(asset.source)
    if asset is not None:
        raise InvalidRequest(f"The URL holds no image that is {_IMAGES_SAID}.", param=where, hint="Convert it.")
    media_type, data = _data_url(url, where)
    return image(media_type, data, where)


def _file(part: FilePart, ctx: Context, where: str) -> anthropic.DocumentBlock:
    if part.file.file_id is not None:
        raise InvalidRequest(
            "Vertex AI stores no files.",
            param=f"{where}.file.file_id",
            hint="Send the file as a data URL in file_data.",
        )
    title = (part.file.filename or "")[:MAX_TITLE] or None
    if title != (part.file.filename or None):
        ctx.notices.add("clamped", f"{where}.file.filename", f"A title has at most {MAX_TITLE} characters.")
    where, data_url = f"{where}.file.file_data", part.file.file_data or ""
    asset = ctx.assets.get(data_url)
    if isinstance(asset, anthropic.DocumentBlock):
        return anthropic.DocumentBlock(asset.source, title)
    if asset is not None:
        raise InvalidRequest("The URL holds an image, not a document.", param=where, hint="Send it as image_url.")
    media_type, data = _data_url(data_url, where)
    return document(media_type, data, title, where)


def _data_url(url: str, where: str) -> tuple[str, bytes]:
    """Media type and bytes of a data URL.

    :raises InvalidRequest: another kind of URL, or not base64.
    """
    head = _DATA_URL.match(url)
    if not head:
        scheme = url.partition(":")[0].lower() if ":" in url[:12] else ""
        if scheme in ("http", "https"):
            raise InvalidRequest("Fetching URLs is switched off.", param=where, hint="Send a data: URL instead.")
        raise InvalidRequest(
            "Only data:, http: and https: URLs can be read.", param=where, hint="Send data:image/png;base64,… instead."
        )
    if "base64" not in head["params"].lower().split(";"):
        raise InvalidRequest("The data URL is not base64.", param=where, hint="Send data:TYPE;base64,DATA.")
    try:
        data = base64.b64decode("".join(url[head.end() :].split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("The data URL holds no valid base64.", param=where, hint="Check its padding.") from None
    return head["type"].lower(), data


def image(claimed: str, data: bytes, where: str) -> anthropic.ImageBlock:
    """Image bytes as a block, the type read from the bytes.

    :raises InvalidRequest: not an image Claude reads, or too large.
    """
    media_type = sniff(data)
    if media_type is None or not media_type.startswith("image/"):
        raise InvalidRequest(
            f"The image is none of {_IMAGES_SAID}{_claim(claimed)}.", param=where, hint="Convert it to one of these."
        )
    encoded = base64.b64encode(data).decode()
    if len(encoded) > MAX_IMAGE_BYTES:
        raise InvalidRequest(
            "The image is larger than 5 MB, counted in base64.", param=where, hint="Scale it down or compress it."
        )
    return anthropic.ImageBlock(anthropic.Base64Source(media_type, encoded))


def document(claimed: str, data: bytes, title: str | None, where: str) -> anthropic.DocumentBlock:
    """A PDF or a text file as a block.

    :raises InvalidRequest: another kind of file.
    """
    if sniff(data) == "application/pdf":
        source: Any = anthropic.Base64Source("application/pdf", base64.b64encode(data).decode())
        return anthropic.DocumentBlock(source, title)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or not text.strip():
        raise InvalidRequest(
            f"The file is neither a PDF nor text in UTF-8{_claim(claimed)}.", param=where, hint="Convert it to PDF."
        )
    return anthropic.DocumentBlock(anthropic.TextSource("text/plain", text), title)


def sniff(data: bytes) -> str | None:
    """The media type that the first bytes tell, among those Claude reads."""
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _claim(claimed: str) -> str:
    return f" (it claims to be {claimed})" if re.fullmatch(r"[a-z0-9.+/-]{1,60}", claimed) else ""
