"""Content parts of messages -> Anthropic blocks: text, images and documents."""

from __future__ import annotations

from typing import Final

from modelmux.dialects.openai_shared.caching import read_breakpoint
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.foreign.rewrite import as_json
from modelmux.dialects.openai_shared.media import UserBlock, document_block, image_block
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

_THINKING: Final = (ThinkingPart, RedactedThinkingPart)


def text_blocks(
    content: Content, ctx: TranslationContext, path: str, *, is_reply: bool = False
) -> list[anthropic.TextBlock]:
    """Content that may hold only text (system, assistant) as blocks, blank ones included: see ``drop_blank_text``.

    :param is_reply: thinking belongs to it and is skipped here; ``thinking_blocks.py`` reads it.

    :raises InvalidRequest: a part of another kind.
    """
    if isinstance(content, str):
        return [anthropic.TextBlock(content)]
    blocks: list[anthropic.TextBlock] = []
    for index, part in enumerate(content or ()):
        if isinstance(part, TextPart):
            blocks.append(_text(part, ctx, f"{path}.content.{index}"))
        elif isinstance(part, RefusalPart):
            blocks.append(ctx.parts.add(anthropic.TextBlock(part.refusal), f"{path}.content.{index}"))
        elif isinstance(part, _THINKING):
            if not is_reply:
                _drop_thinking(ctx, f"{path}.content.{index}")
        else:
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


def result_blocks(content: Content, ctx: TranslationContext, path: str) -> list[UserBlock]:
    """The same of a tool's result. What looks like thinking there is what the tool returned."""
    if isinstance(content, str) or not content:
        return user_blocks(content, ctx, path)
    parts = list(content)
    for index, part in enumerate(content):
        if isinstance(part, _THINKING):
            reason = "A tool's result holds no thinking of Claude: it is sent as JSON text."
            ctx.notices.add("changed", f"{path}.content.{index}", reason)
            parts[index] = TextPart(as_json(part))
    return user_blocks(parts, ctx, path)


def _drop_thinking(ctx: TranslationContext, path: str) -> None:
    ctx.notices.add("dropped", path, "Thinking belongs to a message of the assistant.")


def _text(part: TextPart, ctx: TranslationContext, path: str) -> anthropic.TextBlock:
    marker = read_breakpoint(part.cache_control, part.prompt_cache_breakpoint, path)
    return ctx.parts.add(anthropic.TextBlock(part.text, marker), path)


def _block(part: Part, ctx: TranslationContext, path: str) -> UserBlock | None:
    if isinstance(part, TextPart):
        return _text(part, ctx, path)
    if isinstance(part, RefusalPart):
        return ctx.parts.add(anthropic.TextBlock(part.refusal), path)
    if isinstance(part, ImagePart):
        block: UserBlock = _image(part, ctx, path)
    elif isinstance(part, FilePart):
        block = _file(part, ctx, path)
    elif isinstance(part, _THINKING):
        _drop_thinking(ctx, path)
        return None
    else:
        raise InvalidRequest(
            "Claude does not accept audio.", param=f"{path}.type", hint="Send a transcript as text instead."
        )
    block.cache_control = read_breakpoint(part.cache_control, part.prompt_cache_breakpoint, path)
    return ctx.parts.add(block, path)


def _image(part: ImagePart, ctx: TranslationContext, path: str) -> UserBlock:
    field = f"{path}.image_url"
    if isinstance(part.image_url, ImageURL):
        return image_block(part.image_url.url, part.image_url.detail, ctx, field)
    return image_block(part.image_url, None, ctx, field)


def _file(part: FilePart, ctx: TranslationContext, path: str) -> UserBlock:
    file = part.file
    if file.file_id is not None:
        raise InvalidRequest(
            "Vertex AI does not store files.",
            param=f"{path}.file.file_id",
            hint="Send the file as a data URL in file_data.",
        )
    if file.file_url is not None and not file.file_data:
        return document_block(file.file_url, file.filename, ctx, f"{path}.file.file_url")
    return document_block(file.file_data or "", file.filename, ctx, f"{path}.file.file_data")
