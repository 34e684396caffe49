"""Requests that mix other dialects in, and about which something is said: a notice or a refusal."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]


def _user(*parts: Any) -> Json:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def _talk(*messages: Any) -> Json:
    return {"messages": [{"role": "user", "content": "hi"}, *messages]}


def _calls(*calls: Any) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


_CALL: Final[Json] = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_SEARCH: Final[Json] = {"type": "web_search_20250305", "name": "web_search"}
_SCHEMA: Final[Json] = {"type": "object", "properties": {}}

FOREIGN: Final[list[tuple[str, Json]]] = [
    # messages
    ("messages that are no list", {"messages": "hi"}),
    ("a message that is no object", {"messages": [5]}),
    ("a role nobody has", {"messages": [{"role": "moderator", "content": "hi"}]}),
    ("a role that may be a secret", {"messages": [{"role": "s3cr3t!", "content": "hi"}]}),
    ("an item that refers to another", {"messages": None, "input": [{"type": "item_reference", "id": "m"}]}),
    ("an item that only Responses can use", {"messages": None, "input": [
        {"type": "reasoning"}, {"role": "user", "content": "hi"}]}),
    ("content under another name", {"messages": [{"role": "user", "text": "hi"}]}),
    ("a part for people", {"messages": [{"role": "user", "parts": [{"type": "source-url"}, {"text": "hi"}]}]}),
    ("content that is a number", {"messages": [{"role": "user", "content": 5}]}),
    ("a call of the user", _user({"type": "tool_use", "id": "c", "name": "f", "input": {}})),
    ("a result of the assistant", _talk({"role": "assistant", "content": [
        {"type": "tool_result", "tool_use_id": "c"}]})),
    ("a result without an id", _talk(_calls(_CALL), {"role": "tool", "content": "r"})),
    ("a result that is an object", _talk(_calls(_CALL), {"role": "tool", "tool_call_id": "c", "content": {"a": 1}})),
    ("what MCP adds to a result", _talk(_calls(_CALL), {"role": "tool", "tool_call_id": "c", "content": {
        "content": [{"type": "text", "text": "r"}], "structuredContent": {}}})),
    # calls
    ("calls that are no list", _talk(_calls() | {"tool_calls": "f"})),
    ("a call that is no object", _talk(_calls("f"))),
    ("a call of another type", _talk(_calls({"id": "c", "type": "mcp_call"}))),
    ("a call without a type", _talk(_calls({"id": "c", "function": {"name": "f"}}))),
    ("arguments that are an object", _talk(_calls({**_CALL, "function": {"name": "f", "arguments": {}}}))),
    ("an id that is a number", _talk(_calls({**_CALL, "id": 1}))),
    ("thinking without a signature", _talk({"role": "assistant", "content": "a", "thinking_blocks": [
        {"type": "thinking", "thinking": "hm"}]}, {"role": "user", "content": "b"})),
    ("thinking that nothing follows", _talk({"role": "assistant", "thinking_blocks": [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"}]}, {"role": "user", "content": "b"})),
    # parts
    ("a part that is a number", _user(5)),
    ("a part without a type", _user({"cache_control": None})),
    ("a part without a type that is a text", _user({"text": "hi"})),
    ("a part of another type", _user({"type": "video_url", "video_url": {"url": "https://x"}})),
    ("a part whose type may be a secret", _user({"type": "s3cr3t!"})),
    ("a part whose type is a number", _user({"type": 5})),
    ("a block of a server tool", _talk({"role": "assistant", "content": [
        {"type": "server_tool_use"}, "hi"]}, {"role": "user", "content": "hi"})),
    ("an image without an image", _user({"type": "input_image"})),
    ("an image by the id of a file", _user({"type": "input_image", "file_id": "f"})),
    ("a block without a source", _user({"type": "image"})),
    ("a source that is a text", _user({"type": "image", "source": "x"})),
    ("a source of another type", _user({"type": "image", "source": {"type": "s3", "bucket": "x"}})),
    ("a source without data", _user({"type": "image", "source": {"type": "base64"}})),
    ("more in a source", _user({"type": "document", "source": {"type": "text", "data": "hi", "lang": "en"}})),
    ("a document of images", _user({"type": "document", "source": {"type": "content", "content": [
        {"type": "image"}]}})),
    ("a document with citations", _user({"type": "document", "source": {"type": "text", "data": "hi"}, "citations": {
        "enabled": True}})),
    ("a resource without a resource", _user({"type": "resource"})),
    ("a resource without content", _user({"type": "resource", "resource": {"uri": "file:///a"}})),
    ("more in a resource", _user({"type": "resource", "resource": {"uri": "file:///a", "text": "hi", "size": 2}})),
    ("a link to a resource", _user({"type": "resource_link", "uri": "file:///a", "name": "a"})),
    ("a search result", _user({"type": "search_result", "source": "https://x", "title": "t", "content": [
        {"type": "text", "text": "hi"}]})),
    # tools
    ("tools that are no list", {"tools": "f"}),
    ("a tool that is no object", {"tools": ["f"]}),
    ("a tool of an Anthropic type", {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
    ("a tool whose type is nearly one", {"tools": [{"type": "websearch"}]}),
    ("another version of web search", {"tools": [{**_SEARCH, "type": "web_search_20260209"}]}),
    ("a tool whose type may be a secret", {"tools": [{"type": "s3cr3t!"}]}),
    ("a function without anything", {"tools": [{"type": "function"}, {"cache_control": None}]}),
    ("a free-text tool without anything", {"tools": [{"type": "custom", "zz": 1}]}),
    ("a choice nobody has", {"tools": [{"name": "f"}], "tool_choice": {"type": "hologram"}}),
    ("more in a choice", {"tools": [{"name": "f"}], "tool_choice": {"type": "any", "zz": 1}}),
    ("two searches that differ", {"tools": [_SEARCH, {**_SEARCH, "max_uses": 1}]}),
    ("a search beside the options of one", {"tools": [_SEARCH], "web_search_options": {"max_uses": 1}}),
    ("a filter nobody has", {"web_search_options": {"filters": {"a": 1}}}),
    ("domains that are a text", {"web_search_options": {"allowed_domains": "x.com"}}),
    ("a domain that is none", {"web_search_options": {"allowed_domains": [5]}}),
    ("domains of both kinds", {"web_search_options": {"allowed_domains": ["x.com"], "blocked_domains": ["y.com"]}}),
    ("uses that are none", {"web_search_options": {"max_uses": 0}}),
    ("a breakpoint that is a text", {"web_search_options": {"cache_control": "x"}}),
    # fields
    ("servers to connect to", {"mcp_servers": [{"url": "https://x"}]}),
    ("two names of one field", {"stop": "a", "stop_sequences": ["b"]}),
    ("more in text", {"text": {"format": {"type": "text"}, "zz": 1}}),
    ("thinking that is a word", {"thinking": True}),
    ("a format without a type", {"response_format": {"json_schema": {"schema": _SCHEMA}}}),
    ("thinking of which somebody made more", {"thinking": {"type": "adaptive", "zz": 1, "budget_tokens": 2000}}),
    ("thinking with a budget alone", {"thinking": {"budgetTokens": 2000}}),
    ("two budgets", {"thinking": {"type": "enabled", "budget_tokens": 2000, "budgetTokens": 3000}}),
    ("two efforts", {"output_config": {"effort": "max"}, "thinking": {"type": "adaptive", "effort": "low"}}),
    ("an effort beside OpenAI's", {"output_config": {"effort": "max"}, "reasoning_effort": "low"}),
    ("an effort beside a budget", {"output_config": {"effort": "max"}, "reasoning": {"max_tokens": 2000}}),
    ("an effort nobody has", {"output_config": {"effort": "huge"}}),
    # members that nobody has
    ("a member of a message that becomes its results", _talk(_calls(_CALL), {
        "role": "user", "zz": 1, "id": "m", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]})),
    ("a member of an allowed tool", {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": {
        "type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "f", "zz": 1}}]}}}),
    ("members of a search that it does not have", {"web_search_options": {
        "cache_control": {"type": "ephemeral", "zz": 1}, "user_location": {"approximate": {"city": 1, "zz": 1}}}}),
    # what nothing doubts, and what is lost
    ("a result that may be that of two calls", _talk(
        _calls(_CALL, {**_CALL, "id": "d"}), {"role": "tool", "content": "r"})),
    ("thinking of the user", _user({"type": "reasoning", "text": "hm"}, "hi")),
    ("thinking in a result", _talk(_calls(_CALL), {"role": "tool", "tool_call_id": "c", "content": [
        {"type": "thinking", "thinking": "hm"}]})),
    ("records in a result", _talk(_calls(_CALL), {"role": "tool", "tool_call_id": "c", "content": [
        {"type": "file", "name": "a.txt"}]})),
    ("a document without text", _user({"type": "document", "source": {"type": "text", "data": ""}})),
    ("a title of an image", _user({"type": "document", "title": "t", "source": {
        "type": "base64", "data": "iVBORw0KGgo="}})),
    ("more in a file of Gemini", _user({"inlineData": {"data": "iVBORw0KGgo=", "zz": 1}})),
    ("more in a text of a search result", _user({"type": "search_result", "source": "s", "content": [
        {"type": "text", "text": "hi", "zz": 1}]})),
    ("a search that is not allowed", {"tools": [{"name": "f"}, _SEARCH], "tool_choice": {
        "type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}}),
    ("more beside the name in a choice", {"tools": [{"name": "f"}], "tool_choice": {
        "type": "function", "function": {"name": "f", "zz": 1}}}),
    ("two settings that contradict", {"tools": [{"name": "f"}], "parallel_tool_calls": True, "tool_choice": {
        "type": "auto", "disable_parallel_tool_use": True}}),
    ("more in a tool of Gemini", {"tools": [{"functionDeclarations": [{"name": "f"}], "codeExecution": {}}]}),
]  # fmt: skip
