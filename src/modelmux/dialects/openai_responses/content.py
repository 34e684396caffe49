"""Content parts of items -> Anthropic blocks: text, images and documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelmux.dialects.openai_responses.foreign import Call, File, LeftOut, Result
from modelmux.dialects.openai_shared.caching import read_breakpoint
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.media import (
    UserBlock,
    document_block,
    drop_blank_text,
    image_block,
)
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.responses_items import FilePart, ImagePart, RefusalPart, TextPart
from modelmux.wire.openai.responses_members import ImageURL


def text_blocks(
    content: Any, ctx: TranslationContext, path: str, *, is_reply: bool = False
) -> list[anthropic.TextBlock]:
    """Content that may hold only text (system, assistant) as blocks, blank ones included.

    :param content: as ``decode_parts`` returns it.
    :param path: of the content.
    :param is_reply: calls belong to it, which are not content.
    :raises InvalidRequest: a part of another kind.
    """
    if isinstance(content, str):
        return [anthropic.TextBlock(content)]
    blocks: list[anthropic.TextBlock] = []
    for index, part in enumerate(content or ()):
        if isinstance(part, LeftOut) or (is_reply and isinstance(part, Call)):
            continue
        if isinstance(part, Call):
            raise _misplaced(part.path, "A tool call belongs to an assistant message.")
        if isinstance(part, Result):
            raise _misplaced(part.path, "A tool result belongs to a user message.")
        if not isinstance(part, TextPart | RefusalPart):
            raise InvalidRequest(
                "Only text is allowed here.", param=f"{path}.{index}.type", hint="Move it to a user message."
            )
        blocks.append(_text(part, ctx, f"{path}.{index}"))
    return blocks


def user_blocks(content: Any, ctx: TranslationContext, path: str) -> list[UserBlock]:
    """User or tool content as blocks, blank text included. Results of tools are not content.

    :param content: as ``decode_parts`` returns it.
    :param path: of the content.
    :raises InvalidRequest: a part that Claude cannot read.
    """
    if isinstance(content, str):
        return [anthropic.TextBlock(content)]
    blocks = (user_block(part, ctx, f"{path}.{index}") for index, part in enumerate(content or ()))
    return [block for block in blocks if block is not None]


def result_content(
    content: Any, ctx: TranslationContext, path: str
) -> tuple[str | list[UserBlock] | None, anthropic.CacheControl | None]:
    """A tool's result: a string for one text, blocks for more, None if it is empty; with it a breakpoint without a
    block to set it on."""
    blocks, orphan = drop_blank_text(user_blocks(content, ctx, path))
    if len(blocks) == 1 and isinstance(blocks[0], anthropic.TextBlock) and blocks[0].cache_control is None:
        return blocks[0].text, None
    return blocks or None, orphan


def _text(part: TextPart | RefusalPart, ctx: TranslationContext, path: str) -> anthropic.TextBlock:
    if isinstance(part, RefusalPart):
        return ctx.parts.add(anthropic.TextBlock(part.refusal), path)
    marker = read_breakpoint(part.cache_control, part.prompt_cache_breakpoint, path)
    return ctx.parts.add(anthropic.TextBlock(part.text, marker), path)


def user_block(part: Any, ctx: TranslationContext, path: str) -> UserBlock | None:
    """One part as a block; None for one that is not content of a user.

    :raises InvalidRequest: a part that Claude cannot read.
    """
    if isinstance(part, TextPart | RefusalPart):
        return _text(part, ctx, path)
    if isinstance(part, Result | LeftOut):
        return None
    if isinstance(part, Call):
        raise _misplaced(part.path, "A tool call belongs to an assistant message.")
    fields: Mapping[str, str] = {}
    if isinstance(part, File):
        part, fields = part.part, part.fields
    if isinstance(part, ImagePart):
        block: UserBlock = _image(part, ctx, path, fields)
    elif isinstance(part, FilePart):
        block = _file(part, ctx, path, fields)
    else:
        raise InvalidRequest(
            "Claude does not accept audio.", param=f"{path}.type", hint="Send a transcript as text instead."
        )
    block.cache_control = read_breakpoint(part.cache_control, part.prompt_cache_breakpoint, path)
    return ctx.parts.add(block, path)


def _image(part: ImagePart, ctx: TranslationContext, path: str, fields: Mapping[str, str]) -> UserBlock:
    if part.image_url is None:
        raise _no_file(part.file_id, path, "image_url")
    url = part.image_url.url if isinstance(part.image_url, ImageURL) else part.image_url
    return image_block(url, None, ctx, fields.get("image_url", f"{path}.image_url"))


def _file(part: FilePart, ctx: TranslationContext, path: str, fields: Mapping[str, str]) -> UserBlock:
    for name, value in (("file_data", part.file_data), ("file_url", part.file_url)):
        if value:
            return document_block(value, part.filename, ctx, fields.get(name, f"{path}.{name}"))
    raise _no_file(part.file_id, path, "file_data")


def _misplaced(path: str, reason: str) -> InvalidRequest:
    return InvalidRequest(reason, param=f"{path}.type", hint="Move it there.")


def _no_file(file_id: str | None, path: str, field: str) -> InvalidRequest:
    if file_id is not None:
        hint = f"Send the file as a data URL in {field}."
        return InvalidRequest("Vertex AI does not store files.", param=f"{path}.file_id", hint=hint)
    field = f"{path}.{field}"
    return InvalidRequest(f"Missing required parameter: '{field}'.", param=field, code="missing_required_parameter")
