"""What a person asks in the playground, read from its form."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct

from modelmux.accounts.fields import FieldError
from modelmux.claude.request import LEVELS

#: Characters of a text: what is asked is read by a person who pasted or typed it.
MAX_TEXT: Final = 100_000
MAX_TOKENS: Final = 128_000
#: Of an answer, where the form has no number.
DEFAULT_TOKENS: Final = 1_024
_MAX_TEMPERATURE: Final = 2.0
_MAX_KEY: Final = 512
#: What fits into a header as it is.
_KEY: Final = re.compile(r"[\x21-\x7e]*")


class Question(Struct, frozen=True, kw_only=True):
    """
    :param api: name of the API, see ``apis.py``.
    :param effort: as that API writes it; None for what the model does by default.
    """

    api: str
    model: str
    message: str
    system: str = ""
    max_tokens: int = DEFAULT_TOKENS
    temperature: float | None = None
    effort: str | None = None


def read_question(form: Mapping[str, str], apis: Collection[str]) -> Question:
    """:raises FieldError: naming the field, and what would do."""
    api, model, effort = form.get("api", ""), form.get("model", "").strip(), form.get("effort", "")
    if api not in apis:
        raise FieldError("api", f"{api[:40]!r} is not one of them", f"choose {', '.join(apis)}")
    if not model:
        raise FieldError("model", "none is chosen", "choose one")
    if effort and effort not in LEVELS:
        raise FieldError("effort", f"{effort[:40]!r} is not one", f"choose {', '.join(LEVELS)}")
    message = _text(form, "message")
    if not message.strip():
        raise FieldError("message", "it is empty", "write something to the model")
    return Question(
        api=api, model=model, message=message, system=_text(form, "system"), max_tokens=_tokens(form),
        temperature=_temperature(form), effort=effort or None,
    )  # fmt: skip


def read_key(form: Mapping[str, str]) -> str:
    """The key of the form, for one request; empty if there is none. :raises FieldError: it does not repeat it."""
    key = form.get("key", "").strip()
    if len(key) > _MAX_KEY or not _KEY.fullmatch(key):
        raise FieldError("key", "this is not a key", "paste the secret of a key as it was shown, without spaces")
    return key


def _text(form: Mapping[str, str], name: str) -> str:
    text = form.get(name, "").replace("\r\n", "\n")
    if len(text) > MAX_TEXT:
        raise FieldError(name, f"it has {len(text):,} characters", f"at most {MAX_TEXT:,} may be sent from here")
    return text if text.strip() else ""


def _tokens(form: Mapping[str, str]) -> int:
    text = form.get("max_tokens", "").strip()
    if not text:
        return DEFAULT_TOKENS
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_TOKENS):
        raise FieldError("max_tokens", f"{text[:40]!r} will not do", f"expected a number from 1 to {MAX_TOKENS:,}")
    return int(text)


def _temperature(form: Mapping[str, str]) -> float | None:
    text = form.get("temperature", "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _MAX_TEMPERATURE:  # nan is not, either
        raise FieldError(
            "temperature", f"{text[:40]!r} will not do", f"expected a number from 0 to {_MAX_TEMPERATURE:g}"
        )
    return value
