"""The text of ``docs/compatibility.md``, made from the tables the translation runs on.

``python -m tools.docs.compatibility > docs/compatibility.md`` renews it; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator

from modelmux.catalog import ModelCard, builtin
from modelmux.dialects.openai_chat.field_support import FIELD_SUPPORT
from modelmux.dialects.openai_chat.finish_reason import FINISH_REASONS
from modelmux.error_kinds import KINDS
from modelmux.providers.vertex_claude.errors import UPSTREAM_KINDS

_HEAD = """# Compatibility

What becomes of every field of a Chat Completions request, by model where it differs, and how replies and errors map.
This page is generated from the tables the code runs on; `make docs` renews it and a test holds it true.

A field that is *mapped* is said the same way, an *emulated* one is brought about another way, an *ignored* one leaves
a notice in the response header `x-modelmux-notices`, a *rejected* one is a 400 that names it. With
`server.strict = true`, or the request header `x-modelmux-strict: 1`, every notice is a 400 instead. Fields nobody
knows are ignored with a notice.
"""
_MESSAGES = """
## Messages

| what | becomes |
|---|---|
| leading system and developer messages | `system`, part boundaries kept |
| later ones | stay in place: a system turn where model and position allow it, else part of a user turn |
| user text, images, files | text, image and document blocks; http(s) URLs are fetched and inlined |
| assistant text, refusal, tool calls | text and tool_use blocks, all of them |
| `thinking_blocks`, `reasoning_details`, thinking parts | signed ones go back as they are, others are dropped |
| tool results, in any order | one user turn, results first, images and documents included |
| a tool call without a result | an error result is added, with a notice |
| a result without a call | sent as text, with a notice |
| arguments that are empty, not JSON or no object | `{}`, or wrapped in one, with a notice |
| tool names and call ids Vertex AI refuses | renamed by a function of themselves; replies use the originals |
| empty content | a placeholder for the user, nothing for the assistant |
| a trailing assistant message | continued, without thinking, where the model can; else see `vertex.prefill` |
| audio, `file_id`, grammar tools | 400 |
"""


def render() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## Request fields\n"
    yield "| field | support | how |"
    yield "|---|---|---|"
    for name, support in FIELD_SUPPORT.items():
        yield f"| `{name}` | {support.kind} | {support.explanation} |"
    yield _MESSAGES
    yield "## Models\n"
    yield "| model | context | output | thinking | effort | sampling | prefill | forced | structured | cache from |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    yield from map(_model, builtin().cards)
    yield "\n## Why a reply ended\n"
    yield "| Claude | OpenAI |"
    yield "|---|---|"
    for stop, reason in FINISH_REASONS.items():
        yield f"| `{stop}` | `{reason}` |"
    yield "| none at all | `stop`, or `tool_calls` where there are calls |"
    yield "| a reason nobody knows | `stop`; calls are shown, but nobody is told to run them |"
    yield "\n## Errors\n"
    yield "| what the upstream said | status | type | code |"
    yield "|---|---|---|---|"
    for name in UPSTREAM_KINDS:
        kind = KINDS[name]
        code = f"`{kind.openai_code}`" if kind.openai_code else ""
        yield f"| {name.replace('_', ' ')} | {kind.status} | `{kind.openai_type}` | {code} |"


def _model(card: ModelCard) -> str:
    cells = [
        f"`{card.id}`", _tokens(card.context_window), _tokens(card.max_output), ", ".join(card.thinking) or "none",
        ", ".join(card.effort) or "none", card.sampling, "yes" if card.prefill else "no",
        card.forced_tool_choice.replace("_", " "), "yes" if card.structured_output else "by tool",
        str(card.cache_minimum),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _tokens(count: int) -> str:
    return f"{count // 1_000_000}M" if count >= 1_000_000 else f"{count // 1000}k"


if __name__ == "__main__":
    print(render(), end="")
