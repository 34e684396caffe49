"""Risk: a message to people ends in half a sentence."""

from __future__ import annotations

from modelmux.accounts.fields import FieldError


def test_what_would_do_is_a_sentence() -> None:
    assert FieldError("key", "there is no key 'a'", "list them with `x`").remedy == "List them with `x`."
    assert FieldError("key", "there is no key 'a'", "did you mean 'b'?").remedy == "Did you mean 'b'?"
