"""Risk: a value that cannot work is stored, and the message does not say what would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modelmux.accounts import fields
from modelmux.accounts.fields import FieldError


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (fields.zone, "Nowhere/X", "expected a name such as Europe/Berlin"),
        (fields.apis, ["chat", "telepathy"], "expected some of chat, responses, messages, vertex"),
        (fields.addresses, ["10.0.0.1/8"], "did you mean 10.0.0.0/8?"),
        (fields.addresses, ["here"], "expected one such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"),
        (fields.addresses, [f"10.0.{n // 256}.{n % 256}" for n in range(fields.MAX_ADDRESSES + 1)],
         f"expected at most {fields.MAX_ADDRESSES}"),
        (fields.tags, [(f"t{n}", "x") for n in range(fields.MAX_TAGS + 1)], f"expected at most {fields.MAX_TAGS}"),
        (fields.tags, [("App", "x")], "expected app=chat: names of a-z 0-9 _ . -, values of printable ASCII"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_what_would(check: Callable[..., Any], value: Any, expected: str) -> None:
    with pytest.raises(FieldError) as caught:
        check("field", value)
    assert (caught.value.field, caught.value.expected) == ("field", expected)


@pytest.mark.parametrize(
    "text", ["a\u3164", "a\u2800b", "a\uffa0b", "a\u115fb", "a\ufe0e", "a\ufe0f", "a\u034fb", "a\U000e0101"]
)
def test_what_shows_nothing_is_in_no_name(text: str) -> None:
    """Two names that look the same are one name to whoever revokes a key."""
    with pytest.raises(FieldError, match="is not a name"):
        fields.name("name", text)
    with pytest.raises(FieldError, match="is not an e-mail address"):
        fields.email("email", f"{text}@example.com")


@pytest.mark.parametrize("text", ["\u26a0\ufe0f prod", "Müller", "e\u0301quipe", "データ", "مفتاح"])
def test_names_of_all_scripts_are_names(text: str) -> None:
    assert fields.name("name", f" {text} ") == text


def test_what_is_good_comes_back_in_one_form() -> None:
    assert fields.zone("zone", "Europe/Berlin") == "Europe/Berlin"
    assert fields.apis("apis", [" chat", "chat", "vertex"]) == ("chat", "vertex")
    assert fields.addresses("addresses", ["192.0.2.7", "10.0.0.0/8 "]) == ("192.0.2.7/32", "10.0.0.0/8")
    assert fields.tags("tags", [("b", "2"), ("a", "1"), ("b", "3")]) == (("a", "1"), ("b", "3"))
