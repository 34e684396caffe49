"""Limits and sampling: what a model refuses must not be sent, and what is changed must be said (E29, E30, E56)."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import ModelCard, builtin
from modelmux.dialects.openai_chat.sampling import MAX_STOP_SEQUENCES
from modelmux.errors import InvalidRequest
from support.translation import OPUS, SONNET, notices, sent


@pytest.mark.parametrize("card", builtin().cards, ids=lambda card: card.id)
def test_every_model_gets_a_limit_it_takes(card: ModelCard) -> None:
    assert sent({}, card)["max_tokens"] == card.max_output > 0
    assert sent({"max_tokens": card.max_output}, card)["max_tokens"] == card.max_output
    assert sent({"max_tokens": card.max_output + 1}, card)["max_tokens"] == card.max_output


LIMITS: list[tuple[dict[str, Any], int, list[tuple[str, str]]]] = [
    ({"max_tokens": 1}, 1, []),
    ({"max_completion_tokens": 7}, 7, []),
    ({"max_completion_tokens": 7, "max_tokens": 9}, 7, [("ignored", "max_tokens")]),
    ({"max_completion_tokens": None, "max_tokens": 9}, 9, []),
    ({"max_tokens": 10**400}, 128_000, [("clamped", "max_tokens")]),
    ({"max_completion_tokens": 128_001}, 128_000, [("clamped", "max_completion_tokens")]),
]


@pytest.mark.parametrize(("fields", "limit", "said"), LIMITS)
def test_the_limit_is_the_clients_up_to_the_models(
    fields: dict[str, Any], limit: int, said: list[tuple[str, str]]
) -> None:
    assert sent(fields)["max_tokens"] == limit
    assert notices(fields) == said


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [0, -1, -(10**400)])
def test_a_limit_below_one_is_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(InvalidRequest, match="at least 1") as caught:
        sent({name: value})
    assert caught.value.param == name


SAMPLING: list[tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    ({}, {}, []),
    ({"temperature": 0}, {"temperature": 0.0}, []),
    ({"temperature": 1}, {"temperature": 1.0}, []),
    ({"temperature": 1.7}, {"temperature": 1.0}, [("clamped", "temperature")]),
    ({"temperature": 2}, {"temperature": 1.0}, [("clamped", "temperature")]),
    ({"top_p": 0.5}, {"top_p": 0.5}, []),
    ({"top_p": 0}, {"top_p": 0.0}, []),
    ({"top_k": 5}, {"top_k": 5}, []),
    ({"temperature": 0, "top_p": 0.5, "top_k": 5}, {"temperature": 0.0, "top_k": 5}, [("dropped", "top_p")]),
]


@pytest.mark.parametrize(("fields", "expected", "said"), SAMPLING)
def test_sampling_where_the_model_takes_it(
    fields: dict[str, Any], expected: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    body = sent(fields)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == expected
    assert notices(fields) == said


def test_no_sampling_is_sent_where_the_model_refuses_it() -> None:
    fields = {"temperature": 1.7, "top_p": 0.5, "top_k": 5}
    assert not {"temperature", "top_p", "top_k"} & set(sent(fields, OPUS))
    assert notices(fields, OPUS) == [("dropped", "temperature"), ("dropped", "top_p"), ("dropped", "top_k")]
    assert notices({}, OPUS) == []


@pytest.mark.parametrize("card", [SONNET, OPUS])
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("temperature", -0.1, "between 0 and 2"),
        ("temperature", 2.1, "between 0 and 2"),
        ("top_p", 1.1, "between 0 and 1"),
        ("top_p", -1, "between 0 and 1"),
        ("top_k", -1, "not be negative"),
    ],
)
def test_a_value_out_of_range_is_refused_on_every_model(card: ModelCard, name: str, value: float, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        sent({name: value}, card)
    assert caught.value.param == name


STOPS: list[tuple[Any, list[str] | None, bool]] = [
    (None, None, False),
    ([], None, False),
    ("END", ["END"], False),
    (["a", "b", "c", "d", "e"], ["a", "b", "c", "d", "e"], False),
    (["a", "", "  ", "\n", "a", "b"], ["a", "b"], True),
    ("", None, True),
    (" \t", None, True),
    ([" x "], [" x "], False),
]


@pytest.mark.parametrize(("stop", "expected", "said"), STOPS)
def test_stop_sequences_that_vertex_refuses_are_left_out_and_named(
    stop: Any, expected: list[str] | None, said: bool
) -> None:
    assert sent({"stop": stop}).get("stop_sequences") == expected
    assert notices({"stop": stop}) == ([("dropped", "stop")] if said else [])


def test_too_many_stop_sequences_are_refused() -> None:
    assert len(sent({"stop": [str(i) for i in range(MAX_STOP_SEQUENCES)]})["stop_sequences"]) == 16_384
    with pytest.raises(InvalidRequest, match="at most 16384") as caught:
        sent({"stop": ["a"] * (MAX_STOP_SEQUENCES + 1)})
    assert caught.value.param == "stop"


def test_exactly_the_cap_is_no_change() -> None:
    assert notices({"max_tokens": SONNET.max_output}) == []
