"""Risk: a client's claim that breaks a report, or that another header overrides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.attribution import MAX_TAGS, end_user_of, tags_of


@pytest.mark.parametrize(
    ("header", "metadata", "expected"),
    [
        (None, None, ()),
        ("", {}, ()),
        ("env=prod, app = chat", None, (("app", "chat"), ("env", "prod"))),
        ("app=chat", {"app": "other", "team.x": "1"}, (("app", "chat"), ("team.x", "1"))),
        ("App=chat,app=,=x,app,a b=c,ok=1=2", None, (("ok", "1=2"),)),
        ("a=\x07,b=ä,c=" + "x" * 257, {"d" * 65: "x"}, ()),
        ("a=1,a=2", None, (("a", "1"),)),
        (None, {"a": 1, "b": None, "c": ["x"], "d": "kept"}, (("d", "kept"),)),
    ],
)
def test_tags(header: str | None, metadata: dict[str, Any] | None, expected: tuple[tuple[str, str], ...]) -> None:
    assert tags_of(header, metadata) == expected


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_no_claim_breaks_a_report(header: str, metadata: dict[str, str]) -> None:
    tags = tags_of(header, metadata)
    assert len(tags) <= MAX_TAGS
    assert list(tags) == sorted(set(tags))
    assert all(name and value and f"{name}{value}".isascii() for name, value in tags)


def test_the_first_tags_count() -> None:
    assert len(tags_of(",".join(f"t{i:02}=1" for i in range(40)))) == MAX_TAGS


HEADERS = [(b"x-user", b" ann@example.com "), (b"x-other", b"bob"), (b"x-user", b"second"), (b"x-empty", b" ")]


@pytest.mark.parametrize(
    ("mapped", "claimed", "expected"),
    [
        ([], None, None),
        ([], "carol", "carol"),
        ([b"x-user"], "carol", "ann@example.com"),
        ([b"x-empty", b"x-other"], "carol", "bob"),
        ([b"x-missing"], "", None),
        ([], "x" * 300, "x" * 256),
    ],
)
def test_end_users(mapped: list[bytes], claimed: str | None, expected: str | None) -> None:
    assert end_user_of(HEADERS, mapped, claimed) == expected
