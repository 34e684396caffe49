"""Risk: "my client gets a 400" without the model that it asked for."""

from __future__ import annotations

import pytest

from modelmux.gateway.named_model import named_model


@pytest.mark.parametrize(
    ("params", "body", "model"),
    [
        ({}, b'{"model": "gpt-9", "messages": 7}', "gpt-9"),
        ({"model": "claude-opus-5"}, b'{"model": "other"}', "claude-opus-5"),
        ({}, b'{"model": 7}', None),
        ({}, b"{}", None),
        ({}, b"[]", None),
        ({}, b'{"model": "gpt-9"', None),
        ({}, b"\xff", None),
        ({}, b'{"model": "\xff"}', None),
        ({}, b"", None),
        ({}, b'{"model": "a", "x": ' + b"[" * 5000, None),
    ],
)
def test_the_model_of_a_request(params: dict[str, str], body: bytes, model: str | None) -> None:
    assert named_model(params, body) == model
