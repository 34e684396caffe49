"""Risk: a block that is not seen by the rules, a conversation that changes its deployment because a cache marker moved,
thinking that is removed with its neighbours."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelmux.claude.native import (
    MAX_BLOCK_DEPTH,
    NativeRequest,
    blocks_of,
    edits_without_thinking,
    has_reply,
    let_go,
    messages_of,
    read_again,
    remote_files,
    stable_prefix,
    thinking_of,
)
from modelmux.wire.anthropic import RedactedThinkingBlock, ThinkingBlock

THINKING = {"type": "thinking", "thinking": "", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "eA=="}
TEXT = {"type": "text", "text": "Hi"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://x/1.png"}}


def native(content: dict[str, Any]) -> NativeRequest:
    return NativeRequest(msgspec.json.encode(content), content, list(blocks_of(content)))


def test_every_block_is_seen_also_inside_of_others() -> None:
    result = {"type": "tool_result", "content": [TEXT, IMAGE, "odd"]}
    document = {"type": "document", "source": {"type": "content", "content": [IMAGE]}}
    content = {
        "tools": [{"name": "t"}], "system": [TEXT],
        "messages": [{"role": "user", "content": [result, document, 5]}, "odd", {"role": "user", "content": "text"}],
    }  # fmt: skip
    assert dict(blocks_of(content)) == {
        ("tools", 0): {"name": "t"}, ("system", 0): TEXT, ("messages", 0, "content", 0): result,
        ("messages", 0, "content", 0, "content", 0): TEXT, ("messages", 0, "content", 0, "content", 1): IMAGE,
        ("messages", 0, "content", 1): document, ("messages", 0, "content", 1, "source", "content", 0): IMAGE,
    }  # fmt: skip
    assert [index for index, _ in messages_of(content)] == [0, 2]


def test_what_is_let_go_is_read_again() -> None:
    content = {"tools": [{"name": "t"}], "messages": [{"role": "user", "content": [TEXT, IMAGE]}], "n": 1.5}
    request, same = native(content), native(dict(content))
    let_go(request)
    assert (request.content, request.blocks) == ({}, [])
    read_again(request)
    assert request == same


def test_blocks_inside_of_blocks_are_read_to_a_limited_depth() -> None:
    """The paths of a body of 60 kB with 400 levels would take 160 MB."""
    blocks: list[Any] = [TEXT]
    for _ in range(400):
        blocks = [{"type": "tool_result", "content": blocks}]
    paths = [path for path, _ in blocks_of({"messages": [{"role": "user", "content": blocks}]})]
    assert len(paths) == MAX_BLOCK_DEPTH
    assert len(paths[-1]) == 2 + 2 * MAX_BLOCK_DEPTH


@pytest.mark.parametrize("odd", [None, "x", 5, {}, [None], [[]], [{"content": 5}], [{"content": [7]}]])
def test_content_of_any_type_is_read(odd: Any) -> None:
    content = {"messages": odd, "tools": odd, "system": odd}
    request = native(content)
    assert remote_files(request) == {}
    assert thinking_of(request) == []
    assert edits_without_thinking(content, lambda _: True) == {}
    assert not has_reply(content)
    assert list(stable_prefix(content))[:2] is not None


def test_urls_of_images_and_documents_are_files() -> None:
    odd = [
        {"type": "image", "source": {"type": "base64", "url": "https://x/2"}}, {"type": "image", "source": "https://x/3"},
        {"type": "search_result", "source": {"type": "url", "url": "https://x/4"}},
        {"type": "image", "source": {"type": "url", "url": 5}},
    ]  # fmt: skip
    files = remote_files(native({"messages": [{"role": "user", "content": [*odd, IMAGE]}]}))
    path = ("messages", 0, "content", 4, "source")
    assert {at: (file.url, file.kind, file.field) for at, file in files.items()} == {
        path: ("https://x/1.png", "image", "messages.0.content.4.source.url")
    }


def test_only_turns_of_the_model_are_replies() -> None:
    assert not has_reply({"messages": [{"role": "user", "content": "Hi"}]})
    assert has_reply({"messages": [{"role": "user"}, {"role": "assistant"}]})


def test_the_prefix_is_the_same_wherever_the_cache_marker_is() -> None:
    marked = TEXT | {"cache_control": {"type": "ephemeral"}}
    first = {"role": "user", "content": [marked]}
    one = {"tools": [{"name": "t", "cache_control": {}}], "system": [marked], "messages": [first]}
    two = {
        "tools": [{"name": "t"}], "system": "Hi",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x"}, first],
    }  # fmt: skip
    assert list(stable_prefix(one)) == list(stable_prefix(two))
    assert list(stable_prefix(one)) != list(stable_prefix({**one, "system": "Other"}))
    assert list(stable_prefix({"messages": [{"role": "system", "content": 5}]})) == [[], [], 5]


def test_thinking_is_removed_and_turns_of_nothing_else() -> None:
    content = {"messages": [
        {"role": "user", "content": [TEXT]}, {"role": "assistant", "content": [THINKING, TEXT, REDACTED]},
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": [THINKING]},
        {"role": "assistant", "content": [{"type": "thinking"}, {"type": "redacted_thinking", "data": 5}]},
    ]}  # fmt: skip
    assert thinking_of(native(content)) == [
        ThinkingBlock("", "c2ln"),
        RedactedThinkingBlock("eA=="),
        ThinkingBlock("", "c2ln"),
    ]
    assert edits_without_thinking(content, lambda _: True) == {
        ("messages", 1, "content", 0): None, ("messages", 1, "content", 2): None, ("messages", 3): None,
    }  # fmt: skip
    edits = edits_without_thinking(content, lambda block: isinstance(block, RedactedThinkingBlock))
    assert edits == {("messages", 1, "content", 2): None}
