"""Risk: a request reaches Vertex AI with something changed that is not on the list, or with something unchanged that
Vertex AI refuses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.claude.native import NativeRequest, blocks_of
from modelmux.claude.notices import Notice
from modelmux.claude.options import Options
from modelmux.errors import InvalidRequest, PayloadTooLarge
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.native.count_tokens import prepare_count
from modelmux.providers.vertex_claude.native.draft import NativeDraft
from modelmux.providers.vertex_claude.native.prepare import RULES, encode, prepare_native
from modelmux.wire.anthropic import MAX_BODY_BYTES

CARD, NO_EFFORT = builtin().card("claude-opus-5-5"), builtin().card("claude-sonnet-4-5")
DEFAULT = Options()
VERSION = b'"anthropic_version":"vertex-2023-10-16"'


def native(body: bytes | dict[str, Any], **fields: Any) -> NativeRequest:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    content = msgspec.json.decode(raw)
    return NativeRequest(raw, content, list(blocks_of(content)), **fields)


def prepare(
    body: bytes | dict[str, Any], card: Any = CARD, options: Options = DEFAULT, **fields: Any
) -> NativePrepared:
    return prepare_native(native(body, **fields), card, options)


def sent(body: dict[str, Any], card: Any = CARD, options: Options = DEFAULT, **fields: Any) -> dict[str, Any]:
    """The body without the version."""
    content: dict[str, Any] = msgspec.json.decode(prepare(body, card, options, **fields).body)
    del content["anthropic_version"]
    return content


def refusal(body: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        prepare(body, **fields)
    assert caught.value.message.startswith(f"{caught.value.param}: ")
    return caught.value.param or ""


def test_everything_else_stays_in_its_bytes() -> None:
    body = (
        b'{ "model" : "m",\n "temperature":1.0,"big":12345678901234567890123,"u":"\\u00e9\\/", "new":{"b":1,"a":[]} }'
    )
    assert prepare(body).body == (
        b"{" + VERSION + b',\n "temperature":1.0,"big":12345678901234567890123,"u":"\\u00e9\\/", "new":{"b":1,"a":[]} }'
    )


def test_each_rule_is_documented_once() -> None:
    assert len({rule.field for rule in RULES}) == len(RULES)
    assert [rule.field for rule in RULES][-1] == "header anthropic-beta"


@pytest.mark.parametrize(
    ("header", "own", "expected"),
    [
        (None, None, "vertex-2023-10-16"), ("2023-06-01", None, "vertex-2023-10-16"),
        ("2023-01-01", None, "vertex-2023-10-16"), ("2026-10-21", None, "2026-10-21"),
        (None, "2026-10-21", "2026-10-21"), ("2023-06-01", "2026-10-21", "2026-10-21"),
        ("nonsense", "vertex-2023-10-16", "vertex-2023-10-16"),
    ],
)  # fmt: skip
def test_versions(header: str | None, own: str | None, expected: str) -> None:
    body = {"anthropic_version": own, "x": 1}
    assert msgspec.json.decode(prepare(body, version=header).body)["anthropic_version"] == expected


def test_versions_that_vertex_does_not_know_are_refused_by_name() -> None:
    assert refusal({}, version="2024-01-01") == "anthropic-version"
    assert refusal({"anthropic_version": "2023-06-01"}) == "anthropic_version"
    assert refusal({"anthropic_version": ["x"]}) == "anthropic_version"


@pytest.mark.parametrize(
    ("fields", "stream", "expected"),
    [
        ({}, False, {}), ({}, True, {"stream": True}), ({"stream": True}, True, {"stream": True}),
        ({"stream": True}, False, {"stream": False}), ({"stream": None}, False, {"stream": False}),
    ],
)  # fmt: skip
def test_the_verb_wins_over_the_body(fields: dict[str, Any], stream: bool, expected: dict[str, Any]) -> None:
    assert sent(fields, stream=stream) == expected


REMOVED = ["tags", "diagnostics", "user_profile_id", "workspace_id", "billing_policy", "inference_geo", "service_tier",
           "fallback_credit_token", "speed"]  # fmt: skip


@pytest.mark.parametrize("field", REMOVED)
def test_what_does_not_change_the_answer_is_removed_with_a_notice(field: str) -> None:
    prepared = prepare({"max_tokens": 1, field: {"any": 1}})
    assert prepared.body == b"{" + VERSION + b',"max_tokens":1}'
    assert [(notice.action, notice.field) for notice in prepared.notices] == [("dropped", field)]


def test_fast_mode_stays_where_it_exists() -> None:
    fast = replace(CARD, id="claude-fable-5-2")
    assert sent({"speed": "fast"}, fast) == {"speed": "fast"}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"betas": []}, "betas"),
    ({"anthropic_beta": "x"}, "anthropic_beta"),
    ({"anthropic_beta": [5]}, "anthropic_beta"),
    *(({field: [{"a": 1}]}, field) for field in ("mcp_servers", "container", "fallbacks", "thread")),
    *(({"tools": [5, {"type": type}]}, "tools.1.type") for type in (
        "web_fetch_20250910", "code_execution_20250825", "advisor_20260301", "mcp_toolset", "web_search_20260209",
        "web_search_20260318",
    )),
    ({"tools": [{"allowed_callers": ["direct", "code_execution_20250825"]}]}, "tools.0.allowed_callers"),
    ({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file"}}]}]},
     "messages.0.content.0.source"),
    ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "messages.0.content.0"),
    ({"messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "caller": {"type": "code_execution_20250825"}}]},
        {"role": "user", "content": [{"type": "tool_result"}]},
    ]}, "messages.0.content.0.caller"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field"), REFUSED, ids=[field for _, field in REFUSED])
def test_what_would_change_the_answer_is_refused_by_name(body: dict[str, Any], field: str) -> None:
    assert refusal(body) == field


PASSED: list[dict[str, Any]] = [
    {"mcp_servers": [], "container": None, "fallbacks": []},
    {"tools": "odd", "messages": "odd"},
    {"tools": [{"type": "web_search_20250305"}, {"type": 5}, {"type": "memory_20250818"},
               {"name": "t", "allowed_callers": ["direct"]},
               {"allowed_callers": "odd"}, {"allowed_callers": [5]}, {"type": "bash_20250124"}]},
    {"messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "caller": {"type": "code_execution_20250825"}}]},
        {"role": "user", "content": [{"type": "tool_result"}]}, {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "Next."},
    ]},
    {"messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "caller": {"type": "direct"}},
                                          {"type": "text", "caller": {"type": "x"}}, 5,
                                          {"type": "tool_use", "caller": "x"}]},
        {"role": "user", "content": [{"type": "tool_result"}]},
    ]},
    {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64"}}]}]},
    {"output_config": "odd", "cache_control": "odd", "context_management": {"edits": "odd"}},
    {"metadata": {"user_id": "u"}, "temperature": 2, "top_k": 1, "unknown": [1, {"scope": 1}]},
]  # fmt: skip


@pytest.mark.parametrize("body", PASSED)
def test_what_is_offered_or_closed_or_odd_passes(body: dict[str, Any]) -> None:
    assert sent(body) == body


def test_a_later_web_search_may_be_downgraded() -> None:
    options = Options(web_search="downgrade")
    prepared = prepare({"tools": [{"type": "web_search_20260209", "max_uses": 2}]}, options=options)
    assert b'{"type":"web_search_20250305","max_uses":2}' in prepared.body
    assert (prepared.notices[0].action, prepared.notices[0].field) == ("changed", "tools.0.type")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"output_format": {"f": 1}}, {"output_config": {"format": {"f": 1}}}),
        ({"output_format": {"f": 1}, "output_config": {"x": 1}}, {"output_config": {"format": {"f": 1}, "x": 1}}),
        ({"output_format": {"f": 1}, "output_config": {"format": 2}}, {"output_config": {"format": 2}}),
        ({"output_format": {"f": 1}, "output_config": 5}, {"output_config": 5}),
        ({"output_format": {"f": 1}, "output_config": {"effort": "low"}}, {"output_config": {"format": {"f": 1}}}),
        ({"output_config": {"effort": "low"}}, {}),
        ({"output_config": {"effort": "low", "x": 1}}, {"output_config": {"x": 1}}),
    ],
)
def test_output_format_and_effort(body: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(body, NO_EFFORT) == expected


def test_effort_stays_where_it_exists_or_is_not_known() -> None:
    body = {"output_config": {"effort": "low"}}
    assert sent(body) == body
    assert sent(body, replace(NO_EFFORT, known=False)) == body


def test_the_scope_of_cache_markers_is_removed_everywhere() -> None:
    def content(**scope: str) -> dict[str, Any]:
        marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", **scope, "ttl": "1h", "new": 1}}
        result = {"type": "tool_result", "content": [marked], "cache_control": marked["cache_control"]}
        return {
            "cache_control": marked["cache_control"],
            "tools": [{"name": "t", "cache_control": marked["cache_control"]}],
            "system": [marked], "messages": [{"role": "user", "content": [marked, result]}],
        }  # fmt: skip

    assert msgspec.json.encode(sent(content(scope="global"))) == msgspec.json.encode(content())
    assert sent(content()) == content()


def test_downloaded_files_replace_their_urls() -> None:
    body = b'{"messages":[{"content":[{"type":"image","source":{"type":"url","url":"https://x"}}]}]}'
    files = {("messages", 0, "content", 0, "source"): b'{"type":"base64"}'}
    assert (
        prepare(body, files=files).body
        == b"{" + VERSION + b',"messages":[{"content":[{"type":"image","source":{"type":"base64"}}]}]}'
    )
    large = {("messages", 0, "content", 0, "source"): b'"' + b"x" * MAX_BODY_BYTES + b'"'}
    with pytest.raises(PayloadTooLarge):
        prepare(body, files=large)


def test_a_key_that_occurs_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepare(b'{"model":"a","model":"b"}')
    assert caught.value.param == "model"


def test_the_number_of_changes_is_bounded() -> None:
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "scope": "global"}}
    scope = "messages.0.content.{}.cache_control.scope"
    version = 1  # is added
    assert refusal({"messages": [{"role": "user", "content": [marked] * 5_000}]}) == scope.format(5_000 - version)
    assert prepare({"messages": [{"role": "user", "content": [marked] * 4_999}]})


def test_thinking_of_another_model_is_removed() -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": "s"}
    body = {"messages": [{"role": "assistant", "content": [thinking, {"type": "text", "text": "x"}]}]}
    prepared = prepare_native(native(body), CARD, Options(), drops=lambda _: True)
    assert msgspec.json.decode(prepared.body)["messages"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "x"}]}
    ]
    assert [notice.field for notice in prepared.notices] == ["messages"]
    assert prepare_native(native(body), CARD, Options(), drops=lambda _: False).notices == []
    assert sent(body) == body


def test_a_count_of_tokens_has_its_model_in_the_body_and_no_betas() -> None:
    request = native({"model": "x", "messages": []}, betas=("effort-2025-11-24",))
    draft = NativeDraft(request, NO_EFFORT, Options(), count_tokens=True)
    for rule in RULES:
        rule.apply(draft)
    assert msgspec.json.decode(encode(draft))["model"] == "claude-sonnet-4-5"
    assert draft.betas == []


def test_lone_surrogates_that_were_replaced_are_told() -> None:
    notice = Notice("changed", "messages.0.content", "Replaced.")
    assert prepare({"messages": []}, notices=(notice,)).notices == [notice]
    counted = prepare_count(native({"messages": []}, notices=(notice,)), CARD, Options(), refused=frozenset())
    assert counted.notices == [notice]


def test_a_value_is_read_by_its_path() -> None:
    draft = NativeDraft(native({"a": [{"b": 1}]}), CARD, Options())
    assert [draft.value(*path) for path in (("a", 0, "b"), ("a", 1), ("a", "b"), ("c", "d"), ("a", 0, "b", "c"))] == [
        1, None, None, None, None,
    ]  # fmt: skip
