"""Digests of prompts: what counts as the same prompt, what is kept of a long one, and what a turn has changed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.prompt_change import PromptChange, change_of, has_same_begin
from modelmux.claude.prompt_digests import (
    DIGEST,
    MOST_MESSAGES,
    MOST_SYSTEM,
    MOST_TOOLS,
    PromptDigests,
    conversation_digest,
    digests_of,
    kept_indexes,
)
from support.strategies import JSON, TEXT

KEY = b"k" * 32
MARK = {"type": "ephemeral"}


def digests(body: Any, key: bytes = KEY) -> PromptDigests:
    found = digests_of(json.dumps(body).encode(), key)
    assert found is not None
    return found


def talk(*texts: str, **fields: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    return {"max_tokens": 10, "messages": messages, **fields}


def change(before: Any, after: Any) -> PromptChange:
    found = change_of(digests(before), digests(after))
    assert found is not None
    return found


TOOLS = [{"name": f"tool_{number}", "input_schema": {"type": "object"}} for number in range(3)]


def test_a_prompt_that_goes_on_extends_the_one_before() -> None:
    before = talk("a", "b", "c", tools=TOOLS, system="s")
    assert change(before, talk("a", "b", "c", "d", "e", tools=TOOLS, system="s")) == PromptChange(before=3, after=5)
    assert change(before, before).extends


def test_marks_and_the_form_of_a_text_do_not_count() -> None:
    block = [{"type": "text", "text": "a", "cache_control": MARK}]
    assert digests(talk("a", system="s")) == digests(
        {
            "messages": [{"role": "user", "content": block}],
            "system": [{"cache_control": {"type": "ephemeral", "ttl": "1h"}, "type": "text", "text": "s"}],
            "cache_control": MARK,
        }
    )
    marked = [TOOLS[0], {**TOOLS[1], "cache_control": MARK}, TOOLS[2]]
    assert digests(talk("a", tools=TOOLS)) == digests(talk("a", tools=marked))


def test_a_mark_inside_of_a_tool_result_does_not_count_and_one_in_an_input_does() -> None:
    def result(content: Any) -> dict[str, Any]:
        block = {"type": "tool_result", "tool_use_id": "t", "content": content}
        return {"messages": [{"role": "user", "content": [block]}]}

    marked = [{"type": "text", "text": "a", "cache_control": MARK}]
    assert digests(result(marked)) == digests(result("a")) != digests(result("b"))

    def call(value: Any) -> dict[str, Any]:
        block = {"type": "tool_use", "id": "t", "name": "n", "input": value}
        return {"messages": [{"role": "assistant", "content": [block]}]}

    assert digests(call({"cache_control": MARK})) != digests(call({}))
    assert digests(call({"content": "a"})) != digests(call({"content": [{"type": "text", "text": "a"}]}))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"tools": TOOLS}, {"tools": [TOOLS[0], TOOLS[2], TOOLS[1]]}, PromptChange("tools", 1, 1, before=3, after=3)),
        ({"tools": TOOLS[:2]}, {"tools": TOOLS}, PromptChange("tools", 2, 2, "added", before=2, after=3)),
        ({"tools": TOOLS}, {"tools": TOOLS[:1]}, PromptChange("tools", 1, 1, "removed", before=3, after=1)),
        ({"system": "s"}, {"system": "t"}, PromptChange("system", 0, 0, before=1, after=1)),
        ({}, {"system": "t"}, PromptChange("system", 0, 0, "added", before=0, after=1)),
        ({"thinking": {"type": "adaptive"}}, {}, PromptChange(settings=("thinking",), before=1, after=1)),
        ({"speed": "fast"}, {"tool_choice": {"type": "any"}},
         PromptChange(settings=("tool_choice", "speed"), before=1, after=1)),
        ({"max_tokens": 1}, {"max_tokens": 2}, PromptChange(before=1, after=1)),
    ],
)  # fmt: skip
def test_the_first_difference_is_named(before: Any, after: Any, expected: PromptChange) -> None:
    assert change(talk("a", **before), talk("a", **after)) == expected


def test_a_message_that_was_changed_or_is_missing_is_named_with_its_role() -> None:
    before = talk("a", "b", "c", "d")
    assert change(before, talk("a", "B", "c")) == PromptChange("messages", 1, 1, "changed", "assistant", (), 4, 3)
    assert change(before, talk("a", "b", "C", "d", "e")) == PromptChange("messages", 2, 2, "changed", "user", (), 4, 5)
    assert change(before, talk("a", "b")) == PromptChange("messages", 2, 2, "removed", "user", (), 4, 2)
    other = {"messages": [{"role": "system", "content": "a"}]}
    assert change(talk("a"), other) == PromptChange("messages", 0, 0, "changed", "system", (), 1, 1)
    other = {"messages": [{"role": "new", "content": "a"}]}
    assert change(talk("a"), other).role is None


def test_digests_of_another_key_are_not_compared() -> None:
    assert change_of(digests(talk("a")), digests(talk("a"), b"other")) is None
    assert digests(talk("a")).messages != digests(talk("a"), b"other").messages


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b'{"messages": 1}', b'{"messages": [{"role": "user"}]}',
        b'{"messages": [{"role": "user", "content": 1}]}', b'{"messages": [], "system": 5}',
        b'{"messages": [{"role": "\xff", "content": ""}]}', b'{"messages": [], "tools": [1]}',
    ],
)  # fmt: skip
def test_what_is_no_request_has_none(body: bytes) -> None:
    assert digests_of(body, KEY) is None


def test_a_conversation_is_that_of_its_owner_and_session_or_first_message() -> None:
    first, later = digests(talk("a")), digests(talk("a", "b", "c"))
    assert conversation_digest("me", None, first, KEY) == conversation_digest("me", None, later, KEY)
    assert conversation_digest("me", None, first, KEY) != conversation_digest("you", None, first, KEY)
    assert conversation_digest("me", b"s", first, KEY) == conversation_digest("me", b"s", digests(talk("z")), KEY)
    assert conversation_digest("me", b"s", first, KEY) != conversation_digest("me", b"t", first, KEY)
    assert conversation_digest("me", None, digests({"messages": []}), KEY) is None
    assert has_same_begin(first, later)
    assert not has_same_begin(first, digests(talk("b")))
    assert not has_same_begin(digests({"messages": []}), digests({"messages": []}))


@given(st.integers(0, 5000), st.integers(1, 60).map(lambda half: 2 * half))
def test_what_is_kept_is_bounded_and_has_the_first_and_the_last(count: int, most: int) -> None:
    indexes = kept_indexes(count, most)
    assert len(indexes) <= most
    assert indexes == sorted(set(indexes))
    if count:
        assert (indexes[0], indexes[-1]) == (0, count - 1)
        assert indexes[-(most // 2) :] == list(range(max(0, count - most // 2), count))


def test_digests_of_the_longest_prompt_take_less_than_three_kilobytes() -> None:
    long = digests(talk(*map(str, range(5000)), tools=[{"name": str(n)} for n in range(500)]))
    size = sum(len(chain.digests) for chain in (long.tools, long.system, long.messages)) + len(long.roles)
    assert size <= DIGEST * (MOST_TOOLS + MOST_SYSTEM + MOST_MESSAGES) + MOST_MESSAGES < 3000


@given(count=st.integers(2, 900), more=st.integers(0, 60), place=st.integers(0, 899))
def test_a_long_conversation_tells_where_it_differs_or_that_it_goes_on(count: int, more: int, place: int) -> None:
    before = talk(*map(str, range(count)))
    longer = talk(*map(str, range(count + more)))
    assert change(before, longer).extends
    place %= count
    longer["messages"][place]["content"] = "other"
    found = change(before, longer)
    assert found.part == "messages"
    assert found.first <= place <= found.last
    if place >= count + more - MOST_MESSAGES // 2:
        assert found.first == found.last


BLOCKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "id": TEXT, "name": TEXT, "input": JSON}),
    st.fixed_dictionaries(
        {"type": st.just("tool_result"), "tool_use_id": TEXT},
        optional={"content": st.one_of(TEXT, st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT})))},
    ),
    st.dictionaries(TEXT, JSON, max_size=3).map(lambda more: {"type": "new"} | more),
)
MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.one_of(TEXT, st.lists(BLOCKS, max_size=3)),
    }
)
BODIES = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGES, min_size=1, max_size=5)},
    optional={"system": st.one_of(TEXT, st.lists(BLOCKS, max_size=2)), "tools": st.lists(BLOCKS, max_size=2)},
)


@given(body=BODIES, data=st.data())
def test_marks_anywhere_and_spaces_change_nothing(body: dict[str, Any], data: st.DataObject) -> None:
    marked = copy.deepcopy(body)
    holders = [block for part in ("tools", "system") for block in _blocks(marked.get(part))]
    holders += [block for message in marked["messages"] for block in _blocks(message["content"])]
    for block in holders:
        if "cache_control" not in block and data.draw(st.booleans()):
            block["cache_control"] = MARK
    assert digests(body) == digests_of(json.dumps(marked, ensure_ascii=True).encode(), KEY)


def _blocks(value: Any) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else []


@given(body=BODIES, more=st.lists(MESSAGES, max_size=3))
def test_what_is_added_at_the_end_extends(body: dict[str, Any], more: list[Any]) -> None:
    assert change(body, {**body, "messages": body["messages"] + more}).extends


@given(body=BODIES, other=MESSAGES, data=st.data())
def test_the_first_message_that_differs_is_found(body: dict[str, Any], other: Any, data: st.DataObject) -> None:
    messages = list(body["messages"])
    place = data.draw(st.integers(0, len(messages) - 1))
    same = digests({"messages": [messages[place]]}) == digests({"messages": [other]})
    messages[place] = other
    found = change(body, {**body, "messages": messages})
    if same:
        assert found.extends
    else:
        assert (found.part, found.first, found.last, found.kind) == ("messages", place, place, "changed")
