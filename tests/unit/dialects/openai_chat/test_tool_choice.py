"""Which tools may be called: a wrong choice is an upstream 400 or the wrong tool run (E32 to E34)."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.claude.options import Options
from modelmux.errors import InvalidRequest
from support.translation import OPUS, notices, sent


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


TOOLS = [function("a"), function("b.c"), {"type": "custom", "custom": {"name": "d"}}]
RENAMED = "b_c_b476cc5a"
CHOICES: list[tuple[Any, dict[str, Any] | None, dict[str, Any] | None]] = [
    # tool_choice, what is sent, what is sent where parallel calls are off
    (None, None, {"type": "auto", "disable_parallel_tool_use": True}),
    ("auto", {"type": "auto"}, {"type": "auto", "disable_parallel_tool_use": True}),
    ("none", {"type": "none"}, {"type": "none"}),
    ("required", {"type": "any"}, {"type": "any", "disable_parallel_tool_use": True}),
    ("any", {"type": "any"}, {"type": "any", "disable_parallel_tool_use": True}),
    (function("a"), {"type": "tool", "name": "a"}, {"type": "tool", "name": "a", "disable_parallel_tool_use": True}),
    (function("b.c"), {"type": "tool", "name": RENAMED},
     {"type": "tool", "name": RENAMED, "disable_parallel_tool_use": True}),
    ({"type": "custom", "custom": {"name": "d"}}, {"type": "tool", "name": "d"},
     {"type": "tool", "name": "d", "disable_parallel_tool_use": True}),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "expected", "single"), CHOICES)
def test_every_choice_has_its_form(choice: Any, expected: Any, single: Any) -> None:
    fields = {"tools": TOOLS, "tool_choice": choice}
    assert sent(fields).get("tool_choice") == expected
    assert sent(fields | {"parallel_tool_calls": True}).get("tool_choice") == expected
    assert sent(fields | {"parallel_tool_calls": False}).get("tool_choice") == single
    assert [tool["name"] for tool in sent(fields)["tools"]] == ["a", RENAMED, "d"]


@pytest.mark.parametrize("choice", [None, "auto", "none"])
@pytest.mark.parametrize("tools", [None, []])
def test_without_tools_nothing_is_sent(tools: Any, choice: Any) -> None:
    body = sent({"tools": tools, "tool_choice": choice, "parallel_tool_calls": False})
    assert "tools" not in body
    assert "tool_choice" not in body


ALLOWED: list[tuple[str, list[dict[str, Any]], list[str], str]] = [
    ("auto", [function("d"), function("a")], ["a", "d"], "auto"),
    ("required", [function("b.c")], [RENAMED], "any"),
    ("required", [{"type": "function", "name": "a"}, {"type": "function", "name": "a"}], ["a"], "any"),
    ("auto", [{"type": "custom", "custom": {"name": "d"}}], ["d"], "auto"),
]


@pytest.mark.parametrize(("mode", "allowed", "names", "kind"), ALLOWED)
def test_only_the_allowed_tools_are_sent_in_the_order_of_their_definition(
    mode: str, allowed: list[dict[str, Any]], names: list[str], kind: str
) -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
    body = sent({"tools": TOOLS, "tool_choice": choice})
    assert [tool["name"] for tool in body["tools"]] == names
    assert body["tool_choice"] == {"type": kind}


def allowed_tools(*entries: Any) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": list(entries)}}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [], "tool_choice": function("a")}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": function("z")}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "custom", "custom": {"name": "z"}}}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": allowed_tools()}, "tool_choice.allowed_tools.tools"),
    ({"tools": TOOLS, "tool_choice": allowed_tools(function("a"), function("z"))}, "tool_choice.allowed_tools.tools.1"),
    ({"tools": TOOLS, "tool_choice": allowed_tools({})}, "tool_choice.allowed_tools.tools.0"),
    ({"tools": TOOLS, "tool_choice": allowed_tools({"function": "a"})}, "tool_choice.allowed_tools.tools.0"),
    ({"tools": TOOLS, "tool_choice": allowed_tools({"name": ["a"]})}, "tool_choice.allowed_tools.tools.0"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG)
def test_a_choice_that_cannot_be_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent(fields)
    assert caught.value.param == param


FORCED: list[Any] = ["required", function("a"), {"type": "custom", "custom": {"name": "d"}}]


@pytest.mark.parametrize("choice", FORCED)
def test_a_model_that_cannot_be_forced_says_so_or_chooses_itself(choice: Any) -> None:
    fields = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False}
    with pytest.raises(InvalidRequest, match="not support a forced tool choice") as caught:
        sent(fields, OPUS, Options(forced_tool_choice="error"))
    assert caught.value.param == "tool_choice"
    hint = caught.value.hint or ""
    assert "tool_choice 'auto'" in hint, "what the client can do"
    assert 'forced_tool_choice = "downgrade"' in hint, "what the operator can do"
    assert sent(fields, OPUS)["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert notices(fields, OPUS)[-1] == ("changed", "tool_choice")


def test_a_choice_that_forces_nothing_is_free_on_every_model() -> None:
    for choice in ("none", "auto"):
        assert sent({"tools": TOOLS, "tool_choice": choice}, OPUS)["tool_choice"] == {"type": choice}
        assert notices({"tools": TOOLS[:1], "tool_choice": choice}, OPUS) == []


LEGACY: list[tuple[Any, dict[str, Any]]] = [
    (None, {"type": "auto", "disable_parallel_tool_use": True}),
    ("auto", {"type": "auto", "disable_parallel_tool_use": True}),
    ("none", {"type": "none"}),
    ({"name": "a"}, {"type": "tool", "name": "a", "disable_parallel_tool_use": True}),
]


@pytest.mark.parametrize(("call", "expected"), LEGACY)
def test_legacy_functions_are_tools_called_one_at_a_time(call: Any, expected: dict[str, Any]) -> None:
    body = sent({"functions": [{"name": "a"}, {"name": "b"}], "function_call": call})
    assert [tool["name"] for tool in body["tools"]] == ["a", "b"]
    assert body["tool_choice"] == expected


def test_tool_choice_wins_over_function_call() -> None:
    body = sent({"tools": TOOLS, "tool_choice": "none", "function_call": {"name": "a"}})
    assert body["tool_choice"] == {"type": "none"}


def test_functions_beside_tools_do_not_forbid_parallel_calls() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert "tool_choice" not in sent({"tools": tools, "functions": [{"name": "g"}]})


@pytest.mark.parametrize(
    ("choice", "message", "param"),
    [
        (function("g"), "names the tool 'g', which is not in 'tools'", "tool_choice"),
        ("g", "'g' is neither a mode nor a tool", "tool_choice"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function("a"), function("g")]}},
         "allowed tool 'g' is not in", "tool_choice.allowed_tools.tools.1"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function"}]}},
         "An allowed tool is not in", "tool_choice.allowed_tools.tools.0"),
        (function("mcp__git_hub__g"), "names the tool 'mcp__git_hub__g', which", "tool_choice"),
        (function("g" * 100), "names a tool that is not in 'tools'", "tool_choice"),
        (function("g\n\u202e"), "names a tool that is not in 'tools'", "tool_choice"),
        ("sk-ant-api03-x", "it is neither a mode nor a tool", "tool_choice"),
    ],
)  # fmt: skip
def test_a_tool_that_is_not_declared_is_named_and_so_are_those_that_are(choice: Any, message: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent({"tools": TOOLS, "tool_choice": choice})
    assert message in caught.value.message
    assert caught.value.param == param
    assert "'tools' declares 'a', 'b.c' and 'd'" in (caught.value.hint or "")


def test_a_declared_name_is_listed_in_one_line_and_cut() -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent({"tools": [function("a\n\u202e" + "b" * 100)], "tool_choice": function("g")})
    assert f"'a\ufffd\ufffd{'b' * 61}…'" in (caught.value.hint or "")


def test_the_list_of_declared_tools_is_short_and_has_web_search() -> None:
    tools = [function(f"f{index}") for index in range(30)]
    with pytest.raises(InvalidRequest) as caught:
        sent({"tools": tools, "tool_choice": function("g")})
    assert "'f0', " in (caught.value.hint or "")
    assert "'f9' and 20 more;" in (caught.value.hint or "")
    with pytest.raises(InvalidRequest) as caught:
        sent({"web_search_options": {}, "tool_choice": function("g")})
    assert "'tools' declares 'web_search';" in (caught.value.hint or "")


@pytest.mark.parametrize("call", [{"name": "g"}, "g"])
def test_a_legacy_choice_has_its_own_name(call: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"'function_call'.*'g'") as caught:
        sent({"functions": [{"name": "a"}], "function_call": call})
    assert caught.value.param == "function_call"
    assert "'tools' declares 'a'" in (caught.value.hint or "")
