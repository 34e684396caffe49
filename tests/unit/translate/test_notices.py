"""Notices have to fit a header, hold nothing of the request, and come once each."""

from __future__ import annotations

from modelmux.translate.notices import MAX_HEADER_NOTICES, Notice, Notices, header_value


def test_each_is_kept_once_in_order() -> None:
    notices = Notices()
    notices.add("dropped", "top_p", "one")
    notices.add("ignored", "seed", "two")
    notices.add("dropped", "top_p", "another reason")
    notices.add("clamped", "top_p", "three")
    assert notices.items == [
        Notice("dropped", "top_p", "one"),
        Notice("ignored", "seed", "two"),
        Notice("clamped", "top_p", "three"),
    ]
    assert header_value(notices.items) == "dropped=top_p, ignored=seed, clamped=top_p"


def test_nothing_breaks_out_of_the_header() -> None:
    field = "tools.0,\r\nset-cookie: a=b;é" + "x" * 100
    value = header_value([Notice("ignored", field, "secret reason")])
    assert value == "ignored=tools.0___set-cookie__a_b__" + "x" * 53
    assert header_value([Notice("ignored", "messages[0].$ref_-", "")]) == "ignored=messages[0].$ref_-"


def test_a_long_list_is_cut_and_says_so() -> None:
    some = [Notice("ignored", f"f{i}", "") for i in range(MAX_HEADER_NOTICES)]
    assert header_value(some).count("ignored=") == MAX_HEADER_NOTICES == 24
    assert "more" not in header_value(some)
    assert header_value([*some, *some]).endswith("ignored=f23, more=24")
    assert header_value([]) == ""
