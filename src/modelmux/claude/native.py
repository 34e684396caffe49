"""A Messages request in the client's own bytes, for an upstream that speaks Messages.

It is decoded once, for routing, checks and accounting. What is sent are the client's bytes with few edits
(``wire/json_edit.py``), so that key order, spacing, unknown fields and large numbers stay as they were written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from modelmux.claude.draft import SignedThinking
from modelmux.claude.notices import Notice
from modelmux.claude.request import RemoteFile
from modelmux.wire.anthropic import RedactedThinkingBlock, ThinkingBlock
from modelmux.wire.json_edit import Path, dotted
from modelmux.wire.sliced_json import decode_sliced

#: Levels of blocks inside of blocks that are read: several times what the API defines. Without a limit, the paths of a
#: small body with many levels would need gigabytes.
MAX_BLOCK_DEPTH: Final = 8
#: A JSON object. Its values may be of any type: only the upstream checks them.
Content = dict[str, Any]


class NativeRequest(Struct, frozen=True):
    """A request of Anthropic Messages, or of Vertex AI's raw endpoints.

    :param body: as it came, but for lone surrogates, which no JSON decoder here or upstream takes.
    :param content: the same, decoded; empty between ``let_go`` and ``read_again``.
    :param blocks: every block and tool with its path, see ``blocks_of``; the same.
    :param stream: whether the client gets a stream; ``stream`` in the body may differ.
    :param betas: values of ``anthropic-beta``, in order.
    :param version: the ``anthropic-version`` header.
    :param location: the location in the client's URL, if it has one. Calls go where the deployments are.
    :param files: path of a URL source -> the source with the downloaded file, in JSON.
    :param notices: of what was changed in ``body``.
    """

    body: bytes
    content: Content
    blocks: list[tuple[Path, Content]]
    stream: bool = False
    betas: tuple[str, ...] = ()
    version: str | None = None
    location: str | None = None
    files: Mapping[Path, bytes] = {}
    notices: tuple[Notice, ...] = ()


def let_go(request: NativeRequest) -> None:
    """Free what was decoded, while the request waits: its bytes say the same, and both together are twice its size."""
    request.blocks.clear()
    request.content.clear()


def read_again(request: NativeRequest) -> None:
    """Undo ``let_go``."""
    request.content.update(decode_sliced(request.body))
    request.blocks.extend(blocks_of(request.content))


def messages_of(content: Content) -> list[tuple[int, Content]]:
    """The messages that are objects, with their indexes."""
    return _objects(content.get("messages"))


def blocks_of(content: Content) -> Iterator[tuple[Path, Content]]:
    """Every block and tool, in order, also those inside of others, such as the images of a tool result.

    Deeper than ``MAX_BLOCK_DEPTH`` levels nothing is read: the upstream rejects such blocks.
    """
    for field in ("tools", "system"):
        yield from _blocks(content.get(field), (field,))
    for index, message in messages_of(content):
        yield from _blocks(message.get("content"), ("messages", index, "content"))


def _blocks(value: Any, path: Path, depth: int = 1) -> Iterator[tuple[Path, Content]]:
    for index, block in _objects(value):
        here = (*path, index)
        yield here, block
        if depth == MAX_BLOCK_DEPTH:
            continue
        inner = block.get("content")
        if isinstance(inner, list):
            yield from _blocks(inner, (*here, "content"), depth + 1)
        source = block.get("source")
        if isinstance(source, dict) and isinstance(source.get("content"), list):
            yield from _blocks(source["content"], (*here, "source", "content"), depth + 1)


def remote_files(request: NativeRequest) -> dict[Path, RemoteFile]:
    """The URL sources of images and documents, by the path of the source."""
    files: dict[Path, RemoteFile] = {}
    for path, block in request.blocks:
        kind, source = block.get("type"), block.get("source")
        if kind in ("image", "document") and isinstance(source, dict) and source.get("type") == "url":
            url, field = source.get("url"), dotted((*path, "source", "url"))
            if isinstance(url, str):
                files[*path, "source"] = RemoteFile(url, kind, field)
    return files


def has_reply(content: Content) -> bool:
    """Whether the conversation has a turn of the model."""
    return any(message.get("role") == "assistant" for _, message in messages_of(content))


def stable_prefix(content: Content) -> Iterator[object]:
    """What stays the same in every turn of a conversation, for its affinity: tools, system and the messages up to the
    first of the user, without cache markers; a string is the same as one text block.

    Clients move the markers, and with them the form of the text around them.
    """
    yield _without_markers(content.get("tools") or [])
    yield _without_markers(_as_blocks(content.get("system") or []))
    for _, message in messages_of(content):
        yield _without_markers(_as_blocks(message.get("content")))
        if message.get("role") == "user":
            break


def thinking_of(request: NativeRequest) -> list[SignedThinking]:
    """The signed thinking of the history."""
    return [signed for _, block in request.blocks if (signed := signed_thinking(block)) is not None]


def signed_thinking(block: Content) -> SignedThinking | None:
    """A thinking block; None for any other block, and for one that has not the fields of its type."""
    kind, signature = block.get("type"), block.get("signature")
    if kind == "thinking" and isinstance(thinking := block.get("thinking"), str) and isinstance(signature, str):
        return ThinkingBlock(thinking, signature)
    if kind == "redacted_thinking" and isinstance(data := block.get("data"), str):
        return RedactedThinkingBlock(data)
    return None


def edits_without_thinking(content: Content, drops: Callable[[SignedThinking], bool]) -> dict[Path, bytes | None]:
    """Edits that remove thinking blocks of the history, and turns that consist of nothing else.

    :param drops: whether a block is removed.
    """
    edits: dict[Path, bytes | None] = {}
    for index, message in messages_of(content):
        blocks = message.get("content")
        signed = [(at, signed_thinking(block)) for at, block in _objects(blocks)]
        dropped = [at for at, block in signed if block is not None and drops(block)]
        if isinstance(blocks, list) and dropped and len(dropped) == len(blocks):
            edits["messages", index] = None
        else:
            edits.update({("messages", index, "content", at): None for at in dropped})
    return edits


def _objects(value: Any) -> list[tuple[int, Content]]:
    if not isinstance(value, list):
        return []
    return [(index, item) for index, item in enumerate(value) if isinstance(item, dict)]


def _as_blocks(value: Any) -> Any:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


def _without_markers(blocks: Any) -> Any:
    if not isinstance(blocks, list):
        return blocks
    return [
        {key: value for key, value in block.items() if key != "cache_control"}
        if isinstance(block, dict) and "cache_control" in block
        else block
        for block in blocks
    ]
