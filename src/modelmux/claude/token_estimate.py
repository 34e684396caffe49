"""Estimates the tokens of a request, for when they cannot be counted.

It errs on the high side: clients compact their conversation by the number, and one that is too low makes them do so too
late. What is unknown counts as the most it can be.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from modelmux.catalog import ModelCard
from modelmux.claude.image_size import image_size
from modelmux.claude.native import NativeRequest
from modelmux.wire.json_edit import Path

#: UTF-8 bytes of text for each token. Measured on recorded traffic of the first tokenizer, where prose has 4.2 to 4.9
#: and JSON about 3; the second makes about a sixth more tokens (no recording has much of it).
BYTES_PER_TOKEN: Final = {"claude-3": 3.2, "claude-4-7": 2.7}
#: Most tokens of one image (docs: build-with-claude/vision; pixels / 750 below that).
MAX_IMAGE_TOKENS: Final = {"claude-3": 1_600, "claude-4-7": 4_784}
_PIXELS_PER_TOKEN: Final = 750
_PDF_PAGE: Final = 2_000
#: More pages than Claude reads; counts in the file itself are not trusted.
_MAX_PDF_PAGES: Final = 600
#: Bytes of a page, where a file does not show how many it has.
_BYTES_PER_PAGE: Final = 50_000
_MESSAGE: Final = 12
#: The instructions that the API adds if there are tools, and around each of them.
_TOOLS: Final = 600
_TOOL: Final = 50
#: Tools with a ``type`` of Anthropic's bring their own description.
_SERVER_TOOL: Final = 900
_WEB_SEARCH: Final = 2_200
#: The instructions for structured output.
_OUTPUT_FORMAT: Final = 200
#: The instructions for thinking, for citations and for compaction.
_THINKING: Final = 45
_CITATIONS: Final = 600
_CONTEXT_MANAGEMENT: Final = 80
#: Base64 and what is encrypted: bytes of the content for each byte of its form.
_ENCODED: Final = 3 / 4
_ENCRYPTED: Final = ("signature", "data", "encrypted_content", "encrypted_index")
#: Of a block: not part of the prompt.
_NOT_COUNTED: Final = ("cache_control", "type")
#: The size of an image is in its first bytes; a JPEG may begin with a preview.
_HEAD: Final = 131_072

_PAGE: Final = re.compile(rb"/Type\s*/Page\b")
_COUNT: Final = re.compile(rb"/Count\s+(\d{1,4})\b")


def estimate_tokens(request: NativeRequest, card: ModelCard, bytes_per_token: float | None = None) -> int:
    """The input tokens of a request, rather too many than too few. At least 1.

    :param bytes_per_token: of text; None for what is usual.
    """
    return _Estimate(request.files, card, bytes_per_token or BYTES_PER_TOKEN[card.tokenizer]).of(request.content)


class _Estimate:
    """
    :param files: downloaded files, by the paths of their sources.
    """

    def __init__(self, files: Mapping[Path, bytes], card: ModelCard, bytes_per_token: float) -> None:
        self._files = files
        self._bytes_per_token = bytes_per_token
        self._max_image = MAX_IMAGE_TOKENS[card.tokenizer]
        self._bytes = 0.0
        self._tokens = 0
        self._has_citations = False

    def of(self, content: Mapping[str, Any]) -> int:
        for field in ("tools", "system"):
            self._add(content.get(field), (field,))
        messages = content.get("messages")
        for index, message in enumerate(messages if isinstance(messages, list) else ()):
            self._tokens += _MESSAGE
            if isinstance(message, dict):
                self._add(message.get("content"), ("messages", index, "content"))
        self._add_tools(content.get("tools"))
        self._add_options(content)
        return max(1, math.ceil(self._bytes / self._bytes_per_token) + self._tokens)

    def _add_options(self, content: Mapping[str, Any]) -> None:
        thinking, config = content.get("thinking"), content.get("output_config")
        if isinstance(thinking, dict) and thinking.get("type") != "disabled":
            self._tokens += _THINKING
        if content.get("context_management"):
            self._tokens += _CONTEXT_MANAGEMENT
        if self._has_citations:
            self._tokens += _CITATIONS
        output_format = content.get("output_format") or (config.get("format") if isinstance(config, dict) else None)
        if output_format:
            self._tokens += _OUTPUT_FORMAT
            self._add_value(output_format)

    def _add_tools(self, tools: Any) -> None:
        if not isinstance(tools, list) or not tools:
            return
        self._tokens += _TOOLS
        for tool in tools:
            kind = str(tool.get("type") or "custom") if isinstance(tool, dict) else "custom"
            own = _WEB_SEARCH if kind.startswith("web_search_") else _SERVER_TOOL
            self._tokens += _TOOL if kind == "custom" else own

    def _add(self, value: Any, path: Path) -> None:
        """Text, or a list of blocks."""
        if not isinstance(value, list):
            self._add_value(value)
            return
        for index, item in enumerate(value):
            if isinstance(item, dict):
                self._add_block(item, (*path, index))
            else:
                self._add_value(item)

    def _add_block(self, block: dict[str, Any], path: Path) -> None:
        kind, source = block.get("type"), block.get("source")
        if kind == "thinking":
            text, signature = str(block.get("thinking") or ""), str(block.get("signature") or "")
            self._bytes += max(_size(text), _size(signature) * _ENCODED)  # the text may be left out
            return
        citations = block.get("citations")
        self._has_citations = self._has_citations or (isinstance(citations, dict) and bool(citations.get("enabled")))
        for key, value in block.items():
            if key == "content":
                self._add(value, (*path, key))
            elif key == "source" and isinstance(source, dict):
                self._add_source(kind, self._downloaded(source, (*path, key)), (*path, key))
            elif key in _ENCRYPTED and isinstance(value, str):
                self._bytes += _size(value) * _ENCODED
            elif key not in _NOT_COUNTED:
                self._add_value(value)

    def _downloaded(self, source: dict[str, Any], path: Path) -> dict[str, Any]:
        file = self._files.get(path)
        return source if file is None else msgspec.json.decode(file, type=dict[str, Any])

    def _add_source(self, kind: Any, source: dict[str, Any], path: Path) -> None:
        if source.get("type") == "text":
            self._add_value(source.get("data"))
        elif source.get("type") == "content":
            self._add(source.get("content"), (*path, "content"))
        elif kind == "image":
            self._tokens += self._image(_decoded(source.get("data"), _HEAD))
        else:
            self._tokens += _PDF_PAGE * _pages(_decoded(source.get("data")))

    def _image(self, data: bytes) -> int:
        size = image_size(data)
        if size is None:
            return self._max_image
        return min(self._max_image, math.ceil(size[0] * size[1] / _PIXELS_PER_TOKEN))

    def _add_value(self, value: Any) -> None:
        """Any JSON, as the model reads it: as text."""
        if isinstance(value, str):
            self._bytes += _size(value)
        elif value is not None:
            self._bytes += len(msgspec.json.encode(value))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _decoded(data: Any, limit: int | None = None) -> bytes:
    """Base64 -> bytes. :param limit: how much of it is read, a multiple of 4; None for all."""
    text = data if isinstance(data, str) else ""
    try:
        return base64.b64decode(text[:limit])
    except (binascii.Error, ValueError):
        return b""


def _pages(data: bytes) -> int:
    """Pages of a PDF; by its size if its page tree is compressed."""
    counts = [int(match[1]) for match in _COUNT.finditer(data)]
    shown = max(len(_PAGE.findall(data)), *counts, 0)
    return min(_MAX_PDF_PAGES, shown or math.ceil(len(data) / _BYTES_PER_PAGE) or 1)
