"""Risk: an unknown member of an object of the request that vanishes without a word."""

from __future__ import annotations

from typing import Any

import pytest

from support.responses_requests import notices

PLAIN = {"type": "function", "name": "f", "parameters": {"type": "object", "zz": 1}}
NESTED = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "zz": 1}}}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
FORMAT = {"type": "json_schema", "name": "n", "schema": SCHEMA}

UNKNOWN: list[tuple[dict[str, Any], list[str]]] = [
    ({"tools": [PLAIN]}, []),
    ({"tools": [NESTED]}, []),
    ({"tools": [{**PLAIN, "function": None}]}, []),
    ({"tools": [{**PLAIN, "zz": 1}]}, ["tools.0.zz"]),
    ({"tools": [{**NESTED, "zz": 1}]}, ["tools.0.zz"]),
    ({"tools": [{"type": "function", "function": {**NESTED["function"], "zz": 1}}]}, ["tools.0.function.zz"]),
    ({"tools": [{"type": "namespace", "name": "n", "tools": [{**PLAIN, "zz": 1}]}]}, ["tools.0.tools.0.zz"]),
    ({"reasoning": {"effort": "low", "zz": 1}}, ["reasoning.zz"]),
    ({"reasoning": None}, []),
    ({"text": {"zz": 1, "format": {**FORMAT, "zz": 1}}}, ["text.zz", "text.format.zz"]),
    ({"tools": [PLAIN], "tool_choice": {"type": "function", "name": "f", "zz": 1}}, ["tool_choice.zz"]),
    ({"tools": [PLAIN], "tool_choice": "auto"}, []),
    ({"stream_options": {"include_obfuscation": False, "zz": 1}}, ["stream_options.zz"]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), UNKNOWN)
def test_an_unknown_member_has_a_notice(fields: dict[str, Any], expected: list[str]) -> None:
    assert [place for action, place in notices(fields) if action == "ignored"] == expected
