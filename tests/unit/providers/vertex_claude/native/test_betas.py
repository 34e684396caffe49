"""Risk: a beta that Vertex AI refuses costs every request its answer, or a field is sent without its beta."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.catalog.betas import betas
from modelmux.claude.native import NativeRequest, blocks_of
from modelmux.claude.options import Options
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.native.betas import MAX_BETAS, refused_values
from modelmux.providers.vertex_claude.native.prepare import prepare_native

CARD = builtin().card("claude-opus-5-5")
SEARCH, ADVANCED = "tool-search-tool-2025-10-19", "advanced-tool-use-2025-11-20"
CONTEXT, COMPACT, WEB = "context-management-2025-06-27", "compact-2026-01-12", "web-search-2025-03-05"


def prepare(
    *sent: str, body: dict[str, Any] | None = None, card: Any = CARD, refused: tuple[str, ...] = (), **options: Any
) -> NativePrepared:
    content = {"max_tokens": 1} if body is None else body
    request = NativeRequest(msgspec.json.encode(content), content, list(blocks_of(content)), betas=sent)
    return prepare_native(request, card, Options(**options), refused=frozenset(refused))


def notices(prepared: NativePrepared) -> list[tuple[str, str]]:
    return [(notice.action, notice.field) for notice in prepared.notices]


@pytest.mark.parametrize(
    ("group", "value"), [pytest.param(group, value, id=value) for group in betas().group for value in group.values]
)
def test_each_value_of_the_table(group: Any, value: str) -> None:
    value = value.replace("*", "2026-03-03")
    card = CARD if group.models is None else replace(CARD, id=group.models[0])
    expected = {"keep": (value,), "rename": (group.to,), "drop": ()}[group.action]
    prepared = prepare(value, card=card)
    assert prepared.betas == expected
    assert notices(prepared) == ([("dropped", f"anthropic-beta.{value}")] if group.action == "drop" else [])
    if group.models is not None:
        assert prepare(value).betas == ()
    for model in group.not_models:
        assert prepare(value, card=replace(CARD, id=model)).betas == ()


def test_the_order_stays_and_nothing_is_sent_twice() -> None:
    assert prepare("z-2027-01-01", ADVANCED, WEB, SEARCH, "z-2027-01-01").betas == ("z-2027-01-01", SEARCH, WEB)


def test_a_rename_to_what_a_model_does_not_have_is_dropped() -> None:
    assert prepare(ADVANCED, card=replace(CARD, id="claude-opus-4-1@20250805")).betas == ()


def test_unknown_values_are_forwarded_or_dropped() -> None:
    assert prepare("new-2027-01-01").betas == ("new-2027-01-01",)
    prepared = prepare("new-2027-01-01", WEB, unknown_betas="drop")
    assert (prepared.betas, notices(prepared)) == ((WEB,), [("dropped", "anthropic-beta.new-2027-01-01")])


@pytest.mark.parametrize("value", ["a b", "a\r\nx: y", "ü", "x" * 101, "a,b", ""])
def test_values_that_cannot_be_one_are_dropped_without_being_quoted(value: str) -> None:
    prepared = prepare(value)
    assert (prepared.betas, notices(prepared)) == ((), [("dropped", "anthropic-beta")])


def test_the_number_of_values_is_bounded() -> None:
    prepared = prepare(*(f"b-{n}" for n in range(MAX_BETAS + 5)))
    assert len(prepared.betas) == MAX_BETAS
    assert notices(prepared) == [("dropped", "anthropic-beta")]


def test_refused_values_are_left_out_under_either_name() -> None:
    assert prepare("new-1", ADVANCED, refused=("new-1", SEARCH)).betas == ()


def test_values_in_the_body_join_those_of_the_header() -> None:
    prepared = prepare(WEB, body={"anthropic_beta": ["new-1", WEB], "x": 1})
    assert prepared.betas == (WEB, "new-1")
    assert b"anthropic_beta" not in prepared.body


PAIRS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (CONTEXT, {"context_management": {"edits": []}}, {}),
    (COMPACT, {"context_management": {"edits": [{"type": "compact_20260112"}]}}, {}),
    ("compact-2026-09-04", {"context_management": {}}, {}),
    (SEARCH, {"tools": [{"name": "a"}, {"name": "b", "defer_loading": True}]},
     {"tools": [{"name": "a"}, {"name": "b"}]}),
    (ADVANCED, {"tools": [{"name": "b", "defer_loading": True}]}, {"tools": [{"name": "b"}]}),
    ("task-budgets-2026-03-13", {"output_config": {"task_budget": 1, "effort": "low"}},
     {"output_config": {"effort": "low"}}),
    ("per-turn-control-2026-07-01", {"messages": [{"output_config": {}, "role": "user"}]},
     {"messages": [{"role": "user"}]}),
    ("mid-conversation-output-config-2026-07-01", {"messages": [{"output_config": {}, "role": "user"}]},
     {"messages": [{"role": "user"}]}),
    ("dangerous-tool-use-2026-09-03", {"safeguards": {}}, {}),
    ("thinking-binding-controls-2026-08-01", {"thinking": {"type": "adaptive", "block_binding": 1}},
     {"thinking": {"type": "adaptive"}}),
]  # fmt: skip


@pytest.mark.parametrize(("beta", "body", "without"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_a_field_goes_with_its_beta(beta: str, body: dict[str, Any], without: dict[str, Any]) -> None:
    def content(prepared: NativePrepared) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(prepared.body)
        del decoded["anthropic_version"]
        return decoded

    name = SEARCH if beta == ADVANCED else beta
    forwarded = prepare(beta, body=body)
    assert (content(forwarded), name in forwarded.betas) == (body, True)
    dropped = prepare(beta, body=body, refused=(name,))
    assert content(dropped) == without
    assert name not in dropped.betas
    assert {action for action, _ in notices(dropped)} == {"dropped"} or beta == "compact-2026-09-04"
    assert content(prepare(body=body, refused=(name,))) == body, "alone it is the upstream's to refuse"


def test_one_beta_of_a_pair_is_enough() -> None:
    body = {"context_management": {}}
    assert b"context_management" in prepare(CONTEXT, "compact-2026-09-04", body=body, refused=(CONTEXT,)).body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, (CONTEXT,)),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, (COMPACT,)),
        ({"context_management": {"edits": [{"type": "compact_20260112"}, {"type": "x"}, 5]}}, (COMPACT, CONTEXT)),
        ({"context_management": {"edits": []}}, ()),
        ({"tools": [{"type": "tool_search_tool_regex_20251119"}]}, (SEARCH,)),
        ({"tools": [5, {"name": "t", "defer_loading": True}]}, (SEARCH,)),
        ({"tools": [{"name": "t", "defer_loading": False}]}, ()),
        ({"tools": [{"type": "web_search_20250305"}]}, (WEB,)),
    ],
)
def test_a_field_that_needs_a_beta_brings_it(body: dict[str, Any], expected: tuple[str, ...]) -> None:
    prepared = prepare(body=body)
    assert prepared.betas == expected
    assert notices(prepared) == [("added", f"anthropic-beta.{beta}") for beta in expected]
    assert prepare(*expected, body=body).notices == []
    assert prepare(body=body, refused=expected).betas == ()


def test_a_beta_is_not_brought_to_a_model_without_it() -> None:
    body = {"tools": [{"name": "t", "defer_loading": True}]}
    assert prepare(body=body, card=replace(CARD, id="claude-opus-4-1@20250805")).betas == ()


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("Unexpected value(s) `a-1`, `b-2` for the `anthropic-beta` header. See `docs`.", {"a-1", "b-2"}),
        ("Unexpected value(s) `a-1` for the anthropic-beta header.", {"a-1"}),
        ("Unexpected value(s) `a-1` for the `model` header", set()), ("", set()), ("`a` is bad", set()),
    ],
)  # fmt: skip
def test_which_values_an_error_names(message: str, values: set[str]) -> None:
    assert refused_values(message) == values
