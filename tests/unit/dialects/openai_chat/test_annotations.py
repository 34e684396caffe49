"""Citations become annotations with indices into the text; what cannot be read costs only itself."""

from __future__ import annotations

import pytest
from msgspec import Raw

from modelmux.dialects.openai_chat.annotations import annotations_of
from modelmux.dialects.openai_shared.citations import citation


def test_a_citation_names_its_source_and_place() -> None:
    raw = Raw(b'{"type":"web_search_result_location","url":"https://a","title":"A","cited_text":"x","new":1}')
    assert annotations_of([raw], 3, 9) == [{
        "type": "url_citation",
        "url_citation": {"start_index": 3, "end_index": 9, "url": "https://a", "title": "A"},
    }]  # fmt: skip
    (untitled,) = annotations_of([Raw(b'{"url":"https://a","title":null}')], 0, 1)
    assert untitled["url_citation"]["title"] == ""


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"char_location","document_index":0}',
        b'{"url":null}',
        b'{"url":""}',
        b'{"url":5}',
        b"[]",
        b"null",
        b'{"url":"https://a","title":"\xff"}',
        rb'{"url":"https://a","title":"\ud800"}',
        b'{"url":"https://a","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
)
def test_one_without_a_readable_url_is_left_out(raw: bytes) -> None:
    assert citation(Raw(raw)) is None
    assert annotations_of([Raw(raw)], 0, 1) == []


def test_each_url_comes_once_a_block() -> None:
    a, b = Raw(b'{"url":"https://a","title":"1"}'), Raw(b'{"url":"https://b"}')
    found = annotations_of([a, b, Raw(b'{"url":"https://a","title":"2"}')], 0, 4)
    assert [(f["url_citation"]["url"], f["url_citation"]["title"]) for f in found] == [
        ("https://a", "2"), ("https://b", ""),
    ]  # fmt: skip
    assert annotations_of(None, 0, 4) == []
