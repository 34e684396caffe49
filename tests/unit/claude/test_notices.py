"""Notices have to fit a header, hold nothing of the request, and come once each."""

from __future__ import annotations

import re

import pytest

from modelmux.claude.notices import (
    MAX_HEADER_NOTICES,
    LoneSurrogate,
    Notice,
    Notices,
    header_value,
    log_value,
    reject_notices,
)
from modelmux.errors import InvalidRequest


def test_each_is_kept_once_in_order_and_another_reason_is_another() -> None:
    notices = Notices()
    notices.add("added", "messages", "A turn was added.")
    notices.add("ignored", "seed", "two")
    notices.add("added", "messages", "A turn was added.")
    notices.add("added", "messages", "A result was added.")
    notices.add("clamped", "messages", "A turn was added.")
    assert notices.items == [
        Notice("added", "messages", "A turn was added."),
        Notice("ignored", "seed", "two"),
        Notice("added", "messages", "A result was added."),
        Notice("clamped", "messages", "A turn was added."),
    ]


def test_the_header_which_has_no_reasons_says_the_same_only_once() -> None:
    same = [Notice("added", "messages", f"reason {i}") for i in range(MAX_HEADER_NOTICES + 1)]
    assert header_value([*same, Notice("ignored", "seed", "")]) == "added=messages, ignored=seed"


def test_nothing_breaks_out_of_the_header() -> None:
    field = "tools.0,\r\nset-cookie: a=b;é" + "x" * 100
    value = header_value([Notice("ignored", field, "secret reason")])
    assert value == "ignored=tools.0___set-cookie__a_b__" + "x" * 53
    assert header_value([Notice("ignored", "messages[0].$ref_-", "")]) == "ignored=messages[0].$ref_-"


def test_a_long_list_is_cut_and_says_so() -> None:
    some = [Notice("ignored", f"f{i}", "") for i in range(MAX_HEADER_NOTICES)]
    assert header_value(some).count("ignored=") == MAX_HEADER_NOTICES == 24
    assert "more" not in header_value(some)
    more = [Notice("dropped", f"f{i}", "") for i in range(MAX_HEADER_NOTICES)]
    assert header_value([*some, *more]).endswith("ignored=f23, more=24")
    assert header_value([]) == ""


def test_the_log_counts_the_fields_that_no_api_has() -> None:
    notices = Notices()
    notices.add("ignored", "seed", "")
    assert log_value(notices.items) == header_value(notices.items) == "ignored=seed"
    for name in ("secret-1", "secret-2"):
        notices.ignore_unknown(name, "Not a field.")
    notices.ignore_unknown("secret-1", "Another reason.")
    notices.ignore_unknown("secret-1", "Not a field.")
    assert notices.items[1] == Notice("ignored", "secret-1", "Not a field.")
    assert header_value(notices.items) == "ignored=seed, ignored=secret-1, ignored=secret-2"
    assert log_value(notices.items) == "ignored=seed, unknown_fields=2"
    assert log_value(notices.items[1:]) == "unknown_fields=2"
    renamed = [notice._replace(field="their." + notice.field) for notice in notices.items]
    assert log_value(renamed) == "ignored=their.seed, unknown_fields=2"
    assert log_value([]) == ""


@pytest.mark.parametrize("field", ["", "\n", "\ud83d", "a\r\nb: c"])
def test_a_place_is_never_empty_and_never_breaks_the_header(field: str) -> None:
    notices = Notices()
    notices.add("ignored", field, "Not a field.")
    value = header_value(notices.items)
    assert re.fullmatch(r"ignored=[\x21-\x7e]+", value)
    with pytest.raises(InvalidRequest) as caught:
        reject_notices(notices.items)
    assert caught.value.param == (field or "body")
    assert "''" not in caught.value.message


def test_the_log_counts_the_places_of_lone_surrogates() -> None:
    notices = Notices()
    for name in ("metadata.secret", "messages.0.content", "metadata.secret"):
        notices.include(LoneSurrogate("changed", name, "Replaced."))
    assert header_value(notices.items) == "changed=metadata.secret, changed=messages.0.content"
    assert log_value(notices.items) == "lone_surrogates=2"
    notices.ignore_unknown("secret-1", "Not a field.")
    notices.add("ignored", "seed", "")
    assert log_value(notices.items) == "ignored=seed, unknown_fields=1, lone_surrogates=2"
