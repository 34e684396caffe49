"""Lines of events: what most events have is rendered at once, the rest field by field, and both look alike.

Risk: an event that is rendered at once shows a field otherwise, loses one, or lets an upstream's text forge a line.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.telemetry.log_format import LogRecord, console_line, json_line, render_fields

_TEXTS = st.text(max_size=8) | st.sampled_from(
    ["", " ", "a b", "%s", "a\nlevel=error", "\x1b[2J", "\u2028", "é", "\ud800"]
)
_VALUES = _TEXTS | st.none() | st.booleans() | st.integers() | st.floats() | st.lists(_TEXTS, max_size=2)
_FIELDS = st.dictionaries(st.sampled_from(["key", "model", "status", "100%", "%s", "message"]), _VALUES)


def escaped(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def shown(value: Any) -> str:
    if isinstance(value, str):
        value = escaped(value)
        return value if value and " " not in value else repr(value)
    return escaped(str(value))


def rendered(fields: dict[str, Any]) -> dict[str, Any]:
    return render_fields(LogRecord(1.5, "info", "request", fields))


@given(_FIELDS)
def test_a_line_of_columns_has_each_field_with_a_value_in_its_order(fields: dict[str, Any]) -> None:
    line = console_line(rendered(fields))
    columns = [f"{key}={shown(value)}" for key, value in fields.items() if value is not None]
    assert line == f"1970-01-01T00:00:01.500000Z [info    ] request              {' '.join(columns)}".rstrip()


def test_only_what_cannot_be_printed_is_escaped() -> None:
    event = rendered({"message": "Jürgen\n陈\u202e\x1b[2J"})
    assert event["message"] == "Jürgen\\n陈\\u202e\\x1b[2J"
    assert "Jürgen\\n陈" in console_line(event)


@given(_FIELDS)
def test_no_text_makes_a_second_line_or_reaches_the_terminal(fields: dict[str, Any]) -> None:
    event = rendered(fields)
    assert console_line(event).isprintable()
    assert "\n" not in json_line(event)
    assert all(value.isprintable() for value in event.values() if isinstance(value, str))


@given(st.dictionaries(st.sampled_from("abcdef"), st.none() | st.integers() | st.text(max_size=8)))
def test_json_has_the_fields_with_a_value_and_zero_is_one(fields: dict[str, Any]) -> None:
    values = {key: escaped(value) if isinstance(value, str) else value for key, value in fields.items()}
    expected = {key: value for key, value in values.items() if value is not None}
    leading = {"timestamp": "1970-01-01T00:00:01.500000Z", "level": "info", "event": "request"}
    assert json.loads(json_line(rendered(fields))) == leading | expected


@pytest.mark.parametrize("value", [0, False, 0.0, []])
def test_what_is_false_is_a_value(value: Any) -> None:
    assert rendered({"key": value})["key"] == value
