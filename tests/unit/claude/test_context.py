"""Risk: what one request learned leaks into the next."""

from __future__ import annotations

from modelmux.claude.context import Context, Options, ReplyShape

from support.translation import SONNET


def test_a_context_begins_with_nothing_and_remembers_nothing() -> None:
    ctx = Context(SONNET)
    assert ctx.recall("call_1") is None
    assert ctx.options == Options(forced_tool_choice="error", prefill="error", caching=True)
    assert (ctx.tool_names, ctx.custom_tools, ctx.assets, ctx.notices.items) == ({}, set(), {}, [])


def test_two_contexts_and_two_shapes_share_nothing() -> None:
    one, two = Context(SONNET), Context(SONNET)
    one.tool_names["a"] = "b"
    one.custom_tools.add("c")
    one.notices.add("ignored", "seed", "x")
    assert (two.tool_names, two.custom_tools, two.notices.items) == ({}, set(), [])
    assert ReplyShape("m").tool_names is not ReplyShape("m").tool_names
