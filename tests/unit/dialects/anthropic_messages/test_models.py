"""Risk: a client that reads the list page by page misses a model, or never reaches the end."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from modelmux.dialects.anthropic_messages.dialect import AnthropicMessages
from modelmux.dialects.base import ListedModel
from modelmux.error_kinds import KINDS
from modelmux.errors import InvalidRequest, UpstreamRefused, UpstreamReply

DIALECT = AnthropicMessages()
NAMES = [f"m{number}" for number in range(5)]
MODELS = [ListedModel(name, name.upper(), 0, None, "active", None, None, 10, 5) for name in NAMES]


def page(models: Any = MODELS, **query: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(DIALECT.models(models, query))
    return result


def ids(shown: dict[str, Any]) -> list[str]:
    return [model["id"] for model in shown["data"]]


PAGES: list[tuple[dict[str, str], list[str], bool]] = [
    ({}, NAMES, False),
    ({"limit": "2"}, NAMES[:2], True),
    ({"limit": "5"}, NAMES, False),
    ({"limit": "2", "after_id": "m1"}, ["m2", "m3"], True),
    ({"limit": "2", "after_id": "m2"}, ["m3", "m4"], False),
    ({"after_id": "m4"}, [], False),
    ({"limit": "2", "before_id": "m3"}, ["m1", "m2"], True),
    ({"limit": "2", "before_id": "m2"}, ["m0", "m1"], False),
    ({"limit": "9", "before_id": "m1"}, ["m0"], False),
    ({"before_id": "m0"}, [], False),
    ({"after_id": "m0", "before_id": "m3"}, ["m1", "m2"], False),
    ({"limit": "1", "after_id": "m0", "before_id": "m3"}, ["m2"], True),
    ({"after_id": "m3", "before_id": "m1"}, [], False),
]


@pytest.mark.parametrize(("query", "expected", "has_more"), PAGES)
def test_which_models_a_page_shows(query: dict[str, str], expected: list[str], has_more: bool) -> None:
    shown = page(**query)
    assert (ids(shown), shown["has_more"]) == (expected, has_more)
    assert (shown["first_id"], shown["last_id"]) == ((expected[0], expected[-1]) if expected else (None, None))


@pytest.mark.parametrize("size", ["1", "2", "3", "7"])
def test_following_the_pages_reaches_every_model_once(size: str) -> None:
    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        shown = page(limit=size, **query)
        seen += ids(shown)
        if not shown["has_more"]:
            break
        query = {"after_id": shown["last_id"]}
    assert seen == NAMES


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"}, {"limit": "1001"}, {"limit": "-1"}, {"limit": "x"}, {"limit": ""}, {"limit": "9" * 5000},
        {"limit": "\u0663"}, {"after_id": "m9"}, {"before_id": ""},
    ],
)  # fmt: skip
def test_a_wrong_query_names_its_parameter(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        page(**query)
    assert caught.value.param in query


def test_a_model_shows_its_dates_and_limits() -> None:
    old = ListedModel(
        "old", "Old One", 0, date(2026, 1, 2), "deprecated", date(2026, 11, 3), date(2027, 1, 2), 200_000, 64_000
    )
    shown = json.loads(DIALECT.model(old))
    assert (shown["id"], shown["type"], shown["display_name"]) == ("old", "model", "Old One")
    assert (shown["created_at"], shown["retires_at"]) == ("2026-01-02T00:00:00Z", "2027-01-02T00:00:00Z")
    assert shown["deprecated_at"] == "2026-11-03T00:00:00Z"
    assert (shown["lifecycle"], shown["max_input_tokens"], shown["max_tokens"]) == ("deprecated", 200_000, 64_000)
    assert ids(page([old])) == ["old"]
    unknown = json.loads(DIALECT.model(MODELS[0]))
    assert (unknown["created_at"], unknown["lifecycle"]) == ("1970-01-01T00:00:00Z", "active")
    assert unknown["deprecated_at"] is unknown["retires_at"] is None


def test_errors_have_anthropics_shape_and_types() -> None:
    refused = UpstreamRefused("Slow down.", KINDS["rate_limit"], UpstreamReply(429))
    shown = json.loads(DIALECT.error(refused, "req_1").body)
    assert shown["type"] == "error"
    assert (shown["error"]["type"], shown["error"]["message"]) == ("rate_limit_error", "Slow down.")
