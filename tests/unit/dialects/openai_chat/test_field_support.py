"""Risk: a request field that vanishes without a word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.claude.notices import Notices
from modelmux.dialects.openai_chat.field_support import FIELD_SUPPORT, reject_unsupported, report_ignored
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.chat_request import ChatRequest, decode_request


def chat(**fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return decode_request(json.dumps(body).encode())


def test_the_table_is_the_fields_of_a_request() -> None:
    assert sorted(FIELD_SUPPORT) == sorted(ChatRequest.__struct_fields__)
    assert all(support.explanation.endswith(".") for support in FIELD_SUPPORT.values())


#: Written out here a second time on purpose: a field that moves in the table has to move here, too.
REJECTED: dict[str, tuple[list[Any], list[Any]]] = {  # field: values refused, values that ask for nothing
    "n": ([2, 0], [1, None]),
    "logprobs": ([True], [False, None]),
    "top_logprobs": ([5], [0, None]),
    "audio": ([{"voice": "alloy"}, {}], [None]),
    "modalities": ([["text", "audio"], ["audio"]], [["text"], [], None]),
    "moderation": ([{"model": "m", "policy": {"mode": "block"}}, {}], [None]),
}
IGNORED: dict[str, tuple[list[Any], list[Any]]] = {  # field: values with a notice, values without
    "logit_bias": ([{"50256": -100}], [{}, None]),
    "verbosity": (["low", "high"], ["medium", None]),
    "seed": ([0, 7], [None]),
    "frequency_penalty": ([0.5, -1], [0, 0.0, None]),
    "presence_penalty": ([0.5], [0, None]),
    "metadata": ([{"a": "b"}], [{}, None]),
    "store": ([True], [False, None]),
    "service_tier": (["flex", "priority"], ["auto", "default", None]),
    "prompt_cache_key": (["k"], [None]),
    "prompt_cache_retention": (["24h"], [None]),
    "prediction": ([{"type": "content", "content": "x"}], [None]),
}


def test_these_and_no_others_are_refused_or_ignored() -> None:
    assert {name for name, support in FIELD_SUPPORT.items() if support.kind == "rejected"} == set(REJECTED)
    assert {name for name, support in FIELD_SUPPORT.items() if support.kind == "ignored"} == set(IGNORED)


@pytest.mark.parametrize("name", REJECTED)
def test_what_cannot_be_answered_truthfully_is_refused_by_name(name: str) -> None:
    asking, neutral = REJECTED[name]
    for value in asking:
        with pytest.raises(InvalidRequest) as caught:
            reject_unsupported(chat(**{name: value}))
        error = caught.value
        assert (error.param, error.code) == (name, "unsupported_parameter")
        assert error.message == f"Unsupported parameter: '{name}'."
        assert error.hint == FIELD_SUPPORT[name].explanation
    for value in neutral:
        reject_unsupported(chat(**{name: value}))


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_ignored_is_said_unless_it_asks_for_nothing(name: str) -> None:
    noticed, silent = IGNORED[name]
    for value, expected in [*((v, [name]) for v in noticed), *((v, []) for v in silent)]:
        notices = Notices()
        report_ignored(chat(**{name: value}), [], notices)
        assert [(n.action, n.field) for n in notices.items] == [("ignored", field) for field in expected]
        reject_unsupported(chat(**{name: value}))


def test_fields_nobody_knows_are_named_but_not_at_any_length() -> None:
    notices = Notices()
    report_ignored(chat(), ["guided_json", "x" * 500], notices)
    assert [n.field for n in notices.items] == ["guided_json", "x" * 80]
    assert notices.items[0].reason == "Not a field of Chat Completions."


BESIDE: list[tuple[dict[str, Any], list[str]]] = [
    ({"max_tokens": 5, "max_completion_tokens": 6}, ["max_tokens"]),
    ({"max_tokens": 5, "max_completion_tokens": 5}, []),
    ({"max_tokens": 5}, []),
    ({"user": "a", "safety_identifier": "b"}, ["user"]),
    ({"user": "a", "safety_identifier": ""}, []),
    ({"function_call": "none", "tool_choice": "auto"}, ["function_call"]),
    ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, ["reasoning_effort"]),
    ({"reasoning_effort": "low", "thinking": {"type": "adaptive"}}, ["reasoning_effort"]),
    ({"reasoning_effort": "default", "thinking": {"type": "adaptive"}}, []),
    ({"reasoning": {"effort": "low"}, "thinking": {"type": "disabled"}}, ["reasoning"]),
]


@pytest.mark.parametrize(("fields", "named"), BESIDE)
def test_a_field_that_loses_to_another_is_named(fields: dict[str, Any], named: list[str]) -> None:
    notices = Notices()
    report_ignored(chat(**fields), [], notices)
    assert [(n.action, n.field) for n in notices.items] == [("ignored", name) for name in named]
