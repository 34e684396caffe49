"""Risk: a setting that is lost without a word, a tool that is sent against the client's will, a refusal that names the
wrong place."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from modelmux.errors import InvalidRequest
from support.foreign import prepared, told, upstream, user
from support.translation import PREFILL

Json = dict[str, Any]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 10).decode()
PDF = base64.b64encode(b"%PDF-1.7 x").decode()
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
PAPER = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}}
TEXT = {"type": "text", "text": "hi"}
F: Json = {"type": "function", "function": {"name": "f"}}
G: Json = {"type": "function", "function": {"name": "g"}}
SEARCH: Json = {"type": "web_search"}


def part(value: Json) -> Json:
    return {"messages": [user(value)]}


def allowed(*tools: Json, mode: str = "auto") -> Json:
    return {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}}


LOSSES: list[tuple[str, Json, list[str]]] = [
    ("members of a search result's texts",
     part({"type": "search_result", "source": "s", "title": "t", "content": [{**TEXT, "zz": 1, "yy": None}]}),
     ["changed=messages.0.content.0", "ignored=messages.0.content.0.content.0.zz"]),
    ("its citations",
     part({"type": "search_result", "source": "s", "content": ["x"], "citations": {"enabled": True}}),
     ["changed=messages.0.content.0", "ignored=messages.0.content.0.citations"]),
    ("a member beside the name in a choice",
     {"tools": [F], "tool_choice": {"type": "function", "function": {"name": "f", "zz": 1, "yy": None}}},
     ["ignored=tool_choice.function.zz"]),
    ("members of an allowed tool",
     {"tools": [F], **allowed({"type": "function", "zz": 1, "function": {"name": "f", "zz": 1, "yy": None}})},
     ["ignored=tool_choice.allowed_tools.tools.0.function.zz", "ignored=tool_choice.allowed_tools.tools.0.zz"]),
    ("a member of a custom tool's format",
     {"tools": [{"type": "custom", "custom": {"name": "f", "format": {"type": "text", "zz": 1}}}]},
     ["ignored=tools.0.custom.format.zz"]),
    ("a detail beside an object", part({**PICTURE, "detail": "low"}), ["ignored=messages.0.content.0.detail"]),
    ("a detail beside another",
     part({"type": "image_url", "image_url": {**PICTURE["image_url"], "detail": "high"}, "detail": "low"}),  # type: ignore[dict-item]
     ["ignored=messages.0.content.0.image_url.detail"]),
    ("the title of an image", part({"type": "document", "title": "t", "source": {"type": "base64", "data": PNG}}),
     ["ignored=messages.0.content.0.title"]),
    ("the name of an image", part({"type": "file", "file": {"file_data": PNG, "filename": "a.png"}}),
     ["ignored=messages.0.content.0.file.filename"]),
    ("the address of an image",
     part({"type": "resource", "resource": {"uri": "file:///a.png", "mimeType": "image/png", "blob": PNG}}), []),
    ("a setting that contradicts another",
     {"tools": [F], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "parallel_tool_calls": True},
     ["ignored=tool_choice.disable_parallel_tool_use"]),
    ("a setting that repeats another",
     {"tools": [F], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "parallel_tool_calls": False},
     []),
    ("a search that is not allowed", {"tools": [F, SEARCH], **allowed(F)}, ["dropped=tools.1"]),
    ("a function that is not allowed", {"tools": [F, SEARCH], **allowed(SEARCH)}, []),
    ("options beside a nested switch",
     {"tools": [{"type": "web_search", "web_search": {"enable": True, "zz": 1}}]}, ["ignored=tools.0.web_search.zz"]),
    ("what else is in a tool of Gemini",
     {"tools": [{"functionDeclarations": [{"name": "f"}], "codeExecution": {}, "yy": None}]},
     ["ignored=tools.0.codeExecution"]),
    ("a member of a file of Gemini",
     part({"inlineData": {"mimeType": "image/png", "data": PNG, "zz": 1}}),
     ["ignored=messages.0.content.0.inlineData.zz"]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), [loss[1:] for loss in LOSSES], ids=[loss[0] for loss in LOSSES])
def test_what_is_not_used_is_told(fields: Json, expected: list[str]) -> None:
    assert sorted(told(fields)) == expected


@pytest.mark.parametrize(("foreign", "plain"), [
    ({"type": "image", "image_url": PICTURE["image_url"]}, PICTURE),
    ({"type": "image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}, PICTURE),
    ({"type": "image", "base64": PNG}, PICTURE),
    ({"type": "file", "base64": PDF}, PAPER),
    ({"inlineData": {"mimeType": "image/png", "data": PNG}}, PICTURE),
    ({"inline_data": {"mime_type": "application/pdf", "data": PDF}}, PAPER),
])  # fmt: skip
def test_forms_that_can_mean_one_thing_only(foreign: Json, plain: Json) -> None:
    assert upstream(part(foreign)) == upstream(part(plain))
    assert told(part(foreign)) == []


TOOLS: list[tuple[str, Json, list[str], Json | None]] = [
    ("only a function is allowed", {"tools": [F, SEARCH], **allowed(F)}, ["f"], {"type": "auto"}),
    ("only the search is allowed", {"tools": [F, SEARCH], **allowed(SEARCH)}, ["web_search"], None),
    ("only the search is allowed and required", {"tools": [F, SEARCH], **allowed(SEARCH, mode="required")},
     ["web_search"], {"type": "any"}),
    ("both are allowed", {"tools": [F, G, SEARCH], **allowed(F, {"type": "web_search_20250305", "name": "web_search"})},
     ["f", "web_search"], {"type": "auto"}),
    ("by its options", {"tools": [F], "web_search_options": {}, **allowed(SEARCH)}, ["web_search"], None),
    ("switched off", {"tools": [F, {"type": "web_search", "web_search": {"enable": False}}]}, ["f"], None),
    ("a search and functions in one", {"tools": [{"google_search": {}, "functionDeclarations": [
        {"name": "f", "parameters": {"type": "object"}}, {"name": "g"}]}]}, ["f", "g", "web_search"], None),
    ("functions of Gemini", {"tools": [{"function_declarations": [{"name": "f"}]}, G]}, ["f", "g"], None),
    ("the search by a word", {"tools": [F, SEARCH], "tool_choice": "web_search"}, ["f", "web_search"],
     {"type": "tool", "name": "web_search"}),
    ("the search by another word", {"web_search_options": {}, "tool_choice": "google_search"}, ["web_search"],
     {"type": "tool", "name": "web_search"}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "names", "choice"), [t[1:] for t in TOOLS], ids=[t[0] for t in TOOLS])
def test_the_tools_that_the_client_wants_are_sent(fields: Json, names: list[str], choice: Json | None) -> None:
    body = upstream(fields)
    assert [tool["name"] for tool in body["tools"]] == names
    sent = body.get("tool_choice")
    assert sent is None or choice is None or sent == choice | sent
    assert (sent is None) == (choice is None)


REFUSED: list[tuple[Json, str, str]] = [
    ({"tools": [F], "tool_choice": "web_search"}, "tool_choice", "tool_choice"),
    ({"tools": [F], **allowed(SEARCH)}, "tool_choice.allowed_tools.tools.0", "not in 'tools'"),
    ({"tools": [{"type": "Function", "function": {"name": "f"}}]}, "tools.0.type", "'Function'"),
    ({"tools": [{"type": "codeExecution"}]}, "tools.0.type", "'codeExecution'"),
    ({"tools": [{"functionDeclarations": [5]}]}, "tools.0.functionDeclarations.0", "expected a function"),
    ({"tools": [{"functionDeclarations": [{"name": "f", "parameters": 5}]}]},
     "tools.0.functionDeclarations.0.parameters", "expected"),
    ({"response_format": {"type": "grammar"}}, "response_format.type", "'grammar'.*json_schema"),
    ({"thinking": {"type": "always"}}, "thinking.type", "'always'.*adaptive"),
    ({"reasoning_effort": "huge"}, "reasoning_effort", "'huge'.*low"),
    ({"output_config": {"effort": "huge"}}, "output_config.effort", "'huge'"),
    (part({"type": "image", "url": "ftp://x"}), "messages.0.content.0.url", "URL"),
    (part({"type": "image_url", "url": "ftp://x"}), "messages.0.content.0.url", "URL"),
    (part({"type": "file", "base64": "!"}), "messages.0.content.0.base64", "base64"),
    (part({"inlineData": {"mimeType": "image/png"}}), "messages.0.content.0.inlineData.data", "Missing"),
    (part({"inlineData": {"mimeType": "image/png", "data": "!"}}), "messages.0.content.0.inlineData.data", "base64"),
    (part({"type": "document", "source": {"type": "text", "data": ""}}), "messages.0.content.0.source.data", "empty"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param", "words"), REFUSED)
def test_a_refusal_names_the_clients_place_and_what_it_met(fields: Json, param: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepared(fields)
    assert caught.value.param == param
    assert re.search(words, caught.value.public_message)


@pytest.mark.parametrize(("thinking", "notice"), [
    ({"type": "enabled", "budget_tokens": 500}, "clamped=thinking.budget_tokens"),
    ({"type": "enabled", "budgetTokens": 9000}, "clamped=thinking.budgetTokens"),
    ({"type": "adaptive", "thinkingBudget": 9000}, "ignored=thinking.thinkingBudget"),
])  # fmt: skip
def test_a_budget_that_is_changed_is_told_by_its_own_name(thinking: Json, notice: str) -> None:
    assert notice in told({"thinking": thinking, "max_tokens": 3000}, PREFILL)
