"""Replaces URL sources by downloaded files, because Vertex AI accepts no URLs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec.structs import replace

from modelmux.claude.media import IMAGE_FORMATS
from modelmux.claude.request import ClaudeRequest, RemoteFile
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import DocumentBlock, ImageBlock, InputMessage, TextSource, ToolResultBlock, URLSource

#: Bytes of the files of one request as they are sent, each as often as it is referred to: Vertex AI accepts no larger
#: request, and a few bytes can refer to 20 MB again.
MAX_EMBEDDED: Final = 30 * 1024 * 1024


def embed(request: ClaudeRequest, files: Mapping[str, ImageBlock | DocumentBlock]) -> ClaudeRequest:
    """A copy of a request with the files its URLs refer to, each as the block that its bytes are for.

    :param files: block by URL; only its source is used.
    :raises InvalidRequest: a URL that is not in ``files``, or holds text where an image is meant; too large together.
    """
    if not request.remote_files:
        return request
    for remote in request.remote_files:
        block = _found(remote, files.get(remote.url))
        if remote.kind == "image" and isinstance(block.source, TextSource):  # a web page, for example
            raise _no_image(remote)
    _check_size(_size(files[url]) for message in request.body.messages for url in _urls(message.content))
    messages = [
        InputMessage(message.role, [_embedded(block, files) for block in message.content])
        if message.role == "user"
        else message
        for message in request.body.messages
    ]
    return replace(request, body=replace(request.body, messages=messages), remote_files=())


def check_files(remote: Iterable[RemoteFile], files: Mapping[str, ImageBlock | DocumentBlock]) -> None:
    """For native requests, whose blocks stay what the client made them.

    :param remote: one for each time that a file is referred to.
    :raises InvalidRequest: a URL that is not in ``files``, or holds the wrong kind of file; too large together.
    """
    remote = list(remote)
    for file in remote:
        _check(file, files.get(file.url))
    _check_size(_size(files[file.url]) for file in remote)


def _check_size(sizes: Iterable[int]) -> None:
    if sum(sizes) > MAX_EMBEDDED:
        raise InvalidRequest(
            "The files that the request refers to by URL are larger than 30 MiB together, each counted as often as it "
            "is referred to.",
            hint="Refer to fewer or smaller files.",
        )


def _size(block: ImageBlock | DocumentBlock) -> int:
    return len(getattr(block.source, "data", ""))


def _urls(blocks: Iterable[Any]) -> Iterator[str]:
    """Of all blocks that refer to a file, those in tool results included."""
    for block in blocks:
        if isinstance(block, ImageBlock | DocumentBlock) and isinstance(block.source, URLSource):
            yield block.source.url
        elif isinstance(block, ToolResultBlock) and isinstance(block.content, list):
            yield from _urls(block.content)


def _found(remote: RemoteFile, block: ImageBlock | DocumentBlock | None) -> ImageBlock | DocumentBlock:
    if block is None:
        raise InvalidRequest("Downloading URLs is turned off.", param=remote.field, hint="Send a data: URL instead.")
    return block


def _check(remote: RemoteFile, block: ImageBlock | DocumentBlock | None) -> None:
    block = _found(remote, block)
    if remote.kind == "image" and not isinstance(block, ImageBlock):
        raise _no_image(remote)
    if remote.kind == "document" and not isinstance(block, DocumentBlock):
        raise InvalidRequest(
            "The URL holds an image, not a document.", param=remote.field, hint="Send it as image_url."
        )


def _no_image(remote: RemoteFile) -> InvalidRequest:
    message = f"The URL does not hold an image in one of the formats {IMAGE_FORMATS}."
    return InvalidRequest(message, param=remote.field, hint="Convert it.")


def _embedded(block: Any, files: Mapping[str, ImageBlock | DocumentBlock]) -> Any:
    if isinstance(block, ImageBlock | DocumentBlock) and isinstance(block.source, URLSource):
        file, marker = files[block.source.url], block.cache_control
        if isinstance(file, ImageBlock):
            return ImageBlock(file.source, marker)
        return DocumentBlock(file.source, block.title if isinstance(block, DocumentBlock) else None, marker)
    if isinstance(block, ToolResultBlock) and isinstance(block.content, list):
        return replace(block, content=[_embedded(part, files) for part in block.content])
    return block
