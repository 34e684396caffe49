"""The phrases of a text."""

from __future__ import annotations

import pytest

from modelmux.emulator.model.phrases import Phrases


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("Compare Paris and London", ["Paris", "London"]),
        ("Is it hot in Paris, Texas?", ["Paris, Texas"]),
        ("Rio de Janeiro", ["Rio", "Janeiro"]),
        ("What about New York and San Francisco", ["New York", "San Francisco"]),
        ("weather in berlin", ["berlin"]),
        ("Please tell me", []),
        ("Zürich", ["Zürich"]),
    ],
)
def test_names_in_a_text(words: str, names: list[str]) -> None:
    assert Phrases(words).names == names
