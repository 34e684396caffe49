"""Risk: a tool that the model cannot call, or whose calls the client does not recognise."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.dialects.base import DialectOptions
from modelmux.dialects.openai_responses.plan import ClientTool
from modelmux.dialects.openai_responses.tool_support import TOOL_SUPPORT
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.anthropic import Tool, ToolChoice
from support.responses_requests import (
    OPTIONS,
    SEALER,
    Json,
    call,
    decoded,
    function,
    notices,
    output,
    plan_of,
    request_of,
    turns,
    user,
)

MAIL = {"type": "namespace", "name": "mail", "description": "Mail.", "tools": [function("send"), function("read")]}
SEARCH = DialectOptions(SEALER, web_search=True)
HOSTED = sorted(name for name, row in TOOL_SUPPORT.items() if row.kind == "rejected")


def tools_of(*tools: Json, **fields: Any) -> list[Tool]:
    return request_of({"tools": list(tools), **fields}).body.tools or []


def names(*tools: Json, **fields: Any) -> list[str]:
    return [tool.name for tool in tools_of(*tools, **fields)]


def clients(*tools: Json, **fields: Any) -> dict[str, ClientTool]:
    return dict(plan_of({"tools": list(tools), **fields}).tools)


def choice_of(choice: Any, *tools: Json, **fields: Any) -> ToolChoice | None:
    return request_of({"tools": list(tools), "tool_choice": choice, **fields}).body.tool_choice


def refused(fields: dict[str, Any], options: DialectOptions = OPTIONS) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decoded(fields, options)
    return caught.value


def test_functions() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    tool = {"type": "function", "name": "f", "description": "d", "parameters": schema, "strict": True}
    assert tools_of(tool, function("g", parameters=None, strict=None)) == [
        Tool("f", schema, "d", True),
        Tool("g", {"type": "object", "properties": {}}),
    ]
    assert clients(tool) == {"f": ClientTool("function", "f")}
    assert request_of({"tools": [tool]}).fields.tools == {"f": "tools.0"}


def test_the_form_of_chat_completions_is_understood() -> None:
    inner = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    expected = [Tool("f", {"type": "object"}, "d")]
    assert tools_of({"type": "function", "function": inner}) == expected
    assert tools_of({"type": "function", "name": "f", "function": inner}) == expected
    echo = plan_of({"tools": [{"type": "function", "function": inner}]}).echo.tools
    assert echo == [{"type": "function", **inner, "strict": None}]


def test_a_schema_without_an_object_at_its_root_is_changed() -> None:
    assert notices({"tools": [function(parameters={"type": "string"})]}) == [("changed", "tools.0.parameters")]


def test_settings_that_claude_does_not_have_are_reported() -> None:
    tool = function(output_schema={}, allowed_callers=["x"], defer_loading=True, **{"async": True})
    assert notices({"tools": [tool]}) == [("ignored", "tools.0.async"), ("ignored", "tools.0.allowed_callers")]


def test_a_breakpoint_of_a_tool_is_kept() -> None:
    assert tools_of(function(cache_control={"type": "ephemeral"}))[0].cache_control is not None


def test_namespaces_are_flattened_and_given_back_apart() -> None:
    assert [(t.name, t.description) for t in tools_of(MAIL)] == [("mail__send", "Mail."), ("mail__read", None)]
    assert clients(MAIL) == {
        "mail__send": ClientTool("function", "send", "mail"), "mail__read": ClientTool("function", "read", "mail"),
        "send": ClientTool("function", "send", "mail"), "read": ClientTool("function", "read", "mail"),
    }  # fmt: skip
    described = {**MAIL, "tools": [function("send", description="Sends.")]}
    assert tools_of(described)[0].description == "Mail.\n\nSends."
    assert plan_of({"tools": [MAIL]}).echo.tools[0]["tools"][0]["strict"] is None
    assert tools_of({"type": "namespace", "name": "empty", "description": "x"}) == []


def test_bare_names_are_known_only_if_they_are_unambiguous() -> None:
    other = {"type": "namespace", "name": "post", "tools": [function("send")]}
    assert set(clients(MAIL, other, function("read"))) == {"mail__send", "mail__read", "post__send", "read"}
    assert clients(MAIL, function("read"))["read"] == ClientTool("function", "read")


def test_a_namespace_holds_no_namespace() -> None:
    inner = {"type": "namespace", "name": "inner", "tools": [function("hidden")]}
    outer = {"type": "namespace", "name": "outer", "tools": [inner, function("send")]}
    assert names(outer) == ["outer__send"]
    assert ("dropped", "tools.0.tools.0") in notices({"tools": [outer]})


def test_no_namespace_hides_the_tools_with_a_type_of_their_own() -> None:
    odd = {"type": "namespace", "name": "\0", "tools": [function("shell")]}
    assert names(odd, {"type": "shell"})[1] == "shell"


def test_the_namespace_functions_has_bare_names() -> None:
    tool = {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}
    assert clients(tool) == {"exec": ClientTool("custom", "exec", "functions")}


def test_colliding_names_are_numbered() -> None:
    assert names(function("mail__send"), MAIL) == ["mail__send", "mail__send_2", "mail__read"]
    assert names({"type": "shell"}, function("shell")) == ["shell", "shell_2"]
    items = [user("a"), call("c1", "send", namespace="mail"), output()]
    assert turns(items, tools=[function("mail__send"), MAIL])[1]["content"][0]["name"] == "mail__send_2"


def test_invalid_names_are_cleaned() -> None:
    (tool,) = tools_of(function("a.b"))
    assert clients(function("a.b")) == {tool.name: ClientTool("function", "a.b")}
    assert notices({"tools": [function("a.b")]}) == [("changed", "tools.0.name")]


def test_two_tools_with_one_name() -> None:
    assert names(function(), function()) == ["f"]
    error = refused({"tools": [function(), function(description="other")]})
    assert (error.param, error.message) == (
        "tools.1.name", "Tool names must be unique: tools.0 and tools.1 have the same."
    )  # fmt: skip
    assert names({"type": "shell"}, {"type": "shell"}) == ["shell"]


@pytest.mark.parametrize("tool", [{"type": "function"}, {"type": "custom"}, {"type": "namespace", "tools": []}])
def test_a_tool_without_a_name_is_refused(tool: Json) -> None:
    assert refused({"tools": [tool]}).param == "tools.0.name"
    assert refused({"tools": [{}]}).param == "tools.0.type"


@pytest.mark.parametrize(
    ("form", "description"),
    [
        (None, "d"),
        ({"type": "text"}, "d"),
        ({"type": "grammar"}, "d"),
        ({"type": "grammar", "syntax": "lark", "definition": "start: X"},
         "d\n\nThe input has to follow this grammar (lark):\nstart: X"),
        ({"type": "grammar", "grammar": {"syntax": "new", "definition": "x"}},
         "d\n\nThe input has to follow this grammar:\nx"),
    ],
)  # fmt: skip
def test_custom_tools_take_one_text(form: Any, description: str) -> None:
    tool = {"type": "custom", "name": "exec", "description": "d", "format": form}
    (translated,) = tools_of(tool)
    assert (translated.description, translated.input_schema["required"]) == (description, ["input"])
    assert clients(tool) == {"exec": ClientTool("custom", "exec")}
    assert plan_of({"tools": [tool]}).echo.tools == [tool]


def test_tools_that_run_at_the_client() -> None:
    tools = [{"type": "local_shell"}, {"type": "shell", "environment": {"type": "local"}}, {"type": "apply_patch"}]
    assert clients(*tools) == {
        "local_shell": ClientTool("local_shell", "local_shell"), "shell": ClientTool("shell", "shell"),
        "apply_patch": ClientTool("apply_patch", "apply_patch"),
    }  # fmt: skip
    error = refused({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]})
    assert error.param == "tools.0.environment.type"


@pytest.mark.parametrize("kind", HOSTED)
def test_hosted_tools_are_refused_or_left_out(kind: str) -> None:
    assert refused({"tools": [{"type": kind}]}).param == "tools.0.type"
    lenient = DialectOptions(drops_hosted_tools=True)
    assert request_of({"tools": [{"type": kind}, function()]}, lenient).body.tools == tools_of(function())
    assert notices({"tools": [{"type": kind}]}, lenient) == [("dropped", "tools.0")]


@pytest.mark.parametrize("kind", ["tool_search", "telepathy", "web_search", "web_search_preview"])
def test_other_tools_are_left_out(kind: str) -> None:
    assert notices({"tools": [{"type": kind, "odd": 1}]}) == [("dropped", "tools.0")]
    assert request_of({"tools": [{"type": kind}]}).body.tools is None


@pytest.mark.parametrize("kind", ["web_search_20250305", "web_search_20260209", "google_search", "web_search_preview"])
def test_every_spelling_of_web_search_is_the_server_tool(kind: str) -> None:
    tool = {"type": kind, "name": "web_search", "max_uses": 3, "allowed_domains": ["a.com"]}
    request = request_of({"tools": [function("f"), tool], "tool_choice": {"type": kind}}, SEARCH)
    assert request.web_search == anthropic.WebSearch("web_search", max_uses=3, allowed_domains=["a.com"])
    assert request.body.tool_choice == ToolChoice("tool", "web_search")
    version = [("changed", "tools.1.type")] if kind == "web_search_20260209" else []
    assert [(notice.action, notice.field) for notice in request.notices] == version


def test_web_search() -> None:
    tool = {
        "type": "web_search", "filters": {"allowed_domains": ["a.com", 7]}, "search_context_size": "high",
        "user_location": {"type": "approximate", "city": "Paris", "odd": "x"},
    }  # fmt: skip
    request, plan = request_of({"tools": [tool]}, SEARCH), plan_of({"tools": [tool]}, SEARCH)
    assert request.web_search is not None
    assert request.web_search.allowed_domains == ["a.com"]
    assert request.web_search.user_location == {"type": "approximate", "city": "Paris"}
    assert (plan.web_search_items, plan.max_continuations) == (True, 5)
    assert [notice.field for notice in request.notices] == [
        "tools.0.search_context_size", "tools.0.filters.allowed_domains", "tools.0.user_location.odd",
    ]  # fmt: skip
    plain = request_of({"tools": [{"type": "web_search"}]}, SEARCH).web_search
    assert plain is not None
    assert (plain.allowed_domains, plain.user_location) == (None, None)
    without = {"tools": [{"type": "web_search", "external_web_access": False}]}
    assert request_of(without, SEARCH).web_search is None


def test_additional_tools_follow() -> None:
    more = {"type": "additional_tools", "tools": [function("g"), function("f", description="again"), MAIL]}
    items = [user("a"), more, {"type": "tool_search_output", "tools": [function("h")]}, {"type": "additional_tools"}]
    assert names(function("f"), input=items) == ["f", "g", "mail__send", "mail__read", "h"]


# --- history ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"name": "send", "namespace": "mail"}, "mail__send"),
        ({"name": "send"}, "mail__send"),
        ({"name": "mail__send"}, "mail__send"),
        ({"name": "f", "namespace": "functions"}, "f"),
        ({"name": "gone"}, "gone"),
        ({"name": "gone", "namespace": "mail"}, "mail__gone"),
        ({"name": "exec"}, "exec"),
    ],
)
def test_calls_in_the_history_have_the_names_of_their_tools(fields: Json, name: str) -> None:
    tools = [function("f"), MAIL, {"type": "custom", "name": "exec"}]
    items = [user("a"), {**call(), **fields}, output()]
    assert turns(items, tools=tools)[1]["content"][0]["name"] == name


# --- choice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("any")),
        ("any", ToolChoice("any")),
        ({"type": "function", "name": "f"}, ToolChoice("tool", "f")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("tool", "f")),
        ({"type": "function", "name": "send", "namespace": "mail"}, ToolChoice("tool", "mail__send")),
        ({"type": "custom", "name": "f"}, ToolChoice("tool", "f")),
        ({"type": "shell"}, ToolChoice("tool", "shell")),
    ],
)
def test_choices(choice: Any, expected: ToolChoice | None) -> None:
    tools = (function("f"), MAIL, {"type": "shell"})
    assert choice_of(choice, *tools) == expected
    single = choice_of(choice, *tools, parallel_tool_calls=False)
    assert single is not None
    assert single.disable_parallel_tool_use is (single.type != "none")


@pytest.mark.parametrize(
    "choice",
    ["maybe", {"type": "function", "name": "g"}, {"type": "function"}, {"type": "apply_patch"}, {"type": "mcp"},
     {"type": "web_search_preview"}],
)  # fmt: skip
def test_choices_that_cannot_be_kept_are_refused(choice: Any) -> None:
    assert refused({"tools": [function()], "tool_choice": choice}).param == "tool_choice"


def test_choices_without_tools() -> None:
    assert choice_of("auto") is choice_of("none") is choice_of(None) is None
    assert refused({"tool_choice": "required"}).param == "tool_choice"
    assert refused({"tool_choice": "required", "tools": [{"type": "web_search"}]}).param == "tool_choice"


def test_choices_with_a_search_alone() -> None:
    search = {"tools": [{"type": "web_search"}]}
    for choice, expected in [
        (None, None), ("auto", None), ("none", None), ("required", ToolChoice("any")),
        ({"type": "web_search"}, ToolChoice("tool", "web_search")),
    ]:  # fmt: skip
        assert request_of({**search, "tool_choice": choice}, SEARCH).body.tool_choice == expected


def test_allowed_tools() -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [
        {"type": "function", "name": "send", "namespace": "mail"}, {"type": "function", "name": "f"}, {"type": "mcp"},
    ]}  # fmt: skip
    assert names(function("f"), MAIL, tool_choice=choice) == ["f", "mail__send"]
    assert choice_of(choice, function("f"), MAIL) == ToolChoice("any")
    assert choice_of({**choice, "mode": None}, function("f")) == ToolChoice("auto")
    assert refused({"tools": [function("g")], "tool_choice": choice}).param == "tool_choice.tools"
    only = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
    fields = {"tools": [function("f"), {"type": "web_search"}], "tool_choice": only}
    assert request_of(fields, SEARCH).web_search is None
    search = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
    request = request_of({**fields, "tool_choice": search}, SEARCH)
    assert request.web_search is not None
    assert request.body.tools is None


@pytest.mark.parametrize(
    "choice", ["none", {"type": "allowed_tools", "mode": "none", "tools": [{"type": "web_search"}]}]
)
def test_none_forbids_the_web_search_too(choice: Any) -> None:
    search = {"type": "web_search"}
    assert request_of({"tools": [search]}, SEARCH).web_search is not None
    assert request_of({"tools": [search], "tool_choice": choice}, SEARCH).web_search is None
    both = request_of({"tools": [search, function("f")], "tool_choice": "none"}, SEARCH)
    assert (both.web_search, both.body.tool_choice) == (None, ToolChoice("none"))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"type": "function", "name": "g"}, "names the tool 'g', which is not in 'tools'"),
        ({"type": "function", "name": "g", "namespace": "mail"}, "names the tool 'mail.g', which"),
        ({"type": "function", "function": {"name": "g"}}, "names the tool 'g', which"),
        ("g", "'g' is neither a mode nor a tool"),
        ({"type": "file_search"}, "names a tool of type 'file_search', which"),
        ({"type": "sk-SECRET-1"}, "names a tool, which"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]},
         "the tool 'g' is not in 'tools'"),
    ],
)  # fmt: skip
def test_a_tool_that_is_not_declared_is_named_and_so_are_those_that_are(choice: Any, message: str) -> None:
    error = refused({"tools": [function("f"), MAIL], "tool_choice": choice})
    assert message in error.message
    assert "'tools' declares 'f', 'mail.send' and 'mail.read'" in (error.hint or "")


def test_an_empty_list_of_allowed_tools_is_refused() -> None:
    error = refused({"tools": [function("f")], "tool_choice": {"type": "allowed_tools", "tools": []}})
    assert (error.message, error.param) == ("No tool is allowed.", "tool_choice.tools")


def test_without_tools_there_is_none_to_name() -> None:
    named: Json = {"type": "function", "name": "g"}
    assert refused({"tool_choice": named}).hint == "Declare it in 'tools', or use tool_choice 'auto'."
    assert "declares no tool" in (refused({"tool_choice": "g"}).hint or "")
    search = refused({"tools": [{"type": "web_search"}], "tool_choice": named}, SEARCH)
    assert "'tools' declares 'web_search'" in (search.hint or "")


def test_tools_are_limited_in_number_those_of_namespaces_too() -> None:
    def namespace(count: int) -> Json:
        return {"type": "namespace", "name": "a", "tools": [function(f"f{number}") for number in range(count)]}

    assert len(tools_of(namespace(10_000))) == 10_000
    with pytest.raises(InvalidRequest, match="more than 10,000 tools") as caught:
        tools_of(namespace(9_999), function("g"), function("h"))
    assert caught.value.param == "tools"
