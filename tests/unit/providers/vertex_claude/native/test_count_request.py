"""Risk: token counting is sent what it refuses (betas, a dated model, fields that do not count), or not what counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.native import NativeRequest, blocks_of
from modelmux.claude.options import Options
from modelmux.errors import InvalidRequest
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.native.count_tokens import (
    CACHE_CONTROL,
    prepare_count,
    refused_fields,
    removable_fields,
)

EXTRA = "Extra inputs are not permitted"
MESSAGES = [{"role": "user", "content": "Hi"}]


def native(content: dict[str, Any], **fields: Any) -> NativeRequest:
    return NativeRequest(json.dumps(content).encode(), content, list(blocks_of(content)), **fields)


def prepare(
    content: dict[str, Any],
    *refused: str,
    model: str = "claude-sonnet-4-6",
    options: Options | None = None,
    **fields: Any,
) -> NativePrepared:
    content = {"model": "m", "messages": MESSAGES, **content}
    card = builtin().card(model)
    return prepare_count(native(content, **fields), card, options or Options(), refused=frozenset(refused))


def sent(content: dict[str, Any], *refused: str, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(prepare(content, *refused, **fields).body)
    return body


def test_the_model_is_in_the_body_without_its_version() -> None:
    assert sent({}, model="claude-haiku-4-5@20251001")["model"] == "claude-haiku-4-5"


def test_no_betas_are_sent() -> None:
    prepared = prepare({"anthropic_beta": ["a"]}, betas=("claude-code-20250219", "token-counting-2024-11-01"))
    assert prepared.betas == ()
    assert "anthropic_beta" not in json.loads(prepared.body)


def test_what_counts_is_sent_in_its_own_bytes() -> None:
    counted = {
        "system": [{"type": "text", "text": "é", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": True}],
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "cache_control": {"type": "ephemeral"},
    }  # fmt: skip
    prepared = prepare(counted | {"anthropic_version": "2026-10-21"})
    assert prepared.notices == []
    content = {"model": "claude-sonnet-4-6", "messages": MESSAGES, **counted, "anthropic_version": "2026-10-21"}
    assert prepared.body == json.dumps(content).encode()


def test_the_rest_is_left_out_with_notices() -> None:
    prepared = prepare({"max_tokens": 5, "metadata": {}, "stream": True, "mcp_servers": [1], "x": 1})
    assert json.loads(prepared.body) == {
        "anthropic_version": "vertex-2023-10-16", "model": "claude-sonnet-4-6", "messages": MESSAGES,
    }  # fmt: skip
    assert [(notice.action, notice.field) for notice in prepared.notices] == [
        ("ignored", field) for field in ("max_tokens", "metadata", "stream", "mcp_servers", "x")
    ]


def test_what_vertex_ai_spells_otherwise_is_changed_as_for_messages() -> None:
    assert sent({"output_format": {"type": "json_schema"}})["output_config"] == {"format": {"type": "json_schema"}}
    marker = {"cache_control": {"type": "ephemeral", "scope": "global"}}
    assert sent(marker)["cache_control"] == {"type": "ephemeral"}
    search = {"tools": [{"type": "web_search_20260209", "name": "web_search"}]}
    assert sent(search, options=Options(web_search="downgrade"))["tools"][0]["type"] == "web_search_20250305"
    with pytest.raises(InvalidRequest, match="web_search_20260209"):
        prepare(search)
    with pytest.raises(InvalidRequest, match="betas"):
        prepare({"betas": []})


def test_refused_fields_are_left_out_with_one_notice_each() -> None:
    tools = [{"name": name, "input_schema": {"type": "object"}, "defer_loading": True} for name in "ab"]
    config = {"effort": "low", "task_budget": {"total": 1}}
    refused = ("tools.*.defer_loading", "output_config.task_budget", "context_management")
    prepared = prepare({"tools": tools, "output_config": config}, *refused)
    body = json.loads(prepared.body)
    assert body["tools"] == [
        {"name": "a", "input_schema": {"type": "object"}},
        {"name": "b", "input_schema": {"type": "object"}},
    ]
    assert body["output_config"] == {"effort": "low"}
    assert [notice.field for notice in prepared.notices] == ["output_config.task_budget", "tools.*.defer_loading"]


def test_cache_markers_are_left_out_everywhere_or_nowhere() -> None:
    marker = {"cache_control": {"type": "ephemeral", "scope": "global"}}
    content = {
        "system": [{"type": "text", "text": "a", **marker}], "tools": [{"name": "f", **marker}], **marker,
        "messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", **marker}]}]}],
    }  # fmt: skip
    assert CACHE_CONTROL not in json.dumps(sent(content, CACHE_CONTROL))


def test_an_output_config_that_was_added_is_left_out_where_it_is_refused() -> None:
    assert "output_config" not in sent({"output_format": {"type": "json_schema"}}, "output_config")


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (f"context_management: {EXTRA}", {"context_management"}),
        (f"context_management.edits.0.keep: {EXTRA}", {"context_management"}),
        (f"tools.1.custom.defer_loading: {EXTRA}", {"tools.*.defer_loading"}),
        (f"tools[1].defer_loading: {EXTRA}", {"tools.*.defer_loading"}),
        (f"thinking.adaptive.block_binding: {EXTRA}", {"thinking.block_binding"}),
        (f"output_config.task_budget: {EXTRA}", {"output_config.task_budget"}),
        (f"output_config.format: {EXTRA}", {"output_config"}),
        (f"messages.0.output_config: {EXTRA}", {"messages.*.output_config"}),
        (f"system.0.text.cache_control: {EXTRA}", {CACHE_CONTROL}),
        (f"cache_control: {EXTRA}\ncontext_management: {EXTRA}", {CACHE_CONTROL, "context_management"}),
        (f"tools.7.custom.defer_loading: {EXTRA}", set()),
        (f"messages.0.foo: {EXTRA}", set()),
        (f"foo: {EXTRA}", set()),
        ("messages: Field required", set()),
        ("context_management: Input should be an object", set()),
    ],
)
def test_fields_that_an_error_refuses(message: str, fields: set[str]) -> None:
    content = {
        "messages": [{"role": "user", "content": "Hi", "foo": 1, "output_config": {}}],
        "context_management": {"edits": [{"keep": "all"}]}, "output_config": {"task_budget": {}, "format": 1},
        "tools": [{"name": "a"}, {"name": "b", "defer_loading": True}], "thinking": {"block_binding": 1},
    }  # fmt: skip
    assert refused_fields(message, native(content)) == fields


def test_only_fields_that_count_can_be_left_out() -> None:
    fields = list(removable_fields())
    assert "speed" not in fields
    assert "messages" not in fields
    assert len(fields) == len(set(fields))
