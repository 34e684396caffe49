"""Faults as data: what a fault does, which requests a scenario's rule matches, and how both are parsed.

A fault comes from a directive in the last user text (``[[emulator: status=529 times=2]]``) or from a rule of a
scenario. Data and parsing only; ``unary.py`` and ``stream.py`` act on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from modelmux.wire.json_types import in_json_terms

_DURATION: Final = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m)?$")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
#: Upper bound of a stall, delay or drip, so that a typo cannot hold a connection for ever.
MAX_SECONDS: Final = 3600.0


class FaultSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fault. Durations are in seconds; events count from 1, which is ``message_start``.

    Before the reply: ``delay``, ``status`` (with ``shape``, ``type``, ``message``, ``retry_after``, ``times``),
    ``reset``, ``close``, ``refused_betas``, ``refused_fields``. In the reply: everything else. ``times=N``: only the
    first N requests fail.
    """

    times: int | None = None
    delay: float = 0.0
    first_token_delay: float = 0.0
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    shape: Literal["anthropic", "google", "google_array", "html", "empty", "text"] = "anthropic"
    type: str | None = None
    message: str | None = None
    retry_after: str | None = None
    reset: bool = False
    close: bool = False
    #: Comma-separated; betas may be globs, fields may be dotted.
    refused_betas: str | None = None
    refused_fields: str | None = None

    reset_after_event: int | None = None
    close_after_event: int | None = None
    truncate_after_event: int | None = None
    truncate_after_byte: int | None = None
    error_after_event: int | None = None
    stall_after_event: int | None = None
    stall: float = 600.0
    drip: float = 0.0
    chunk: Annotated[int, Meta(ge=1)] | None = None
    tokens_per_second: float | None = None
    pings: int = 0
    unknown_event: bool = False
    unknown_block: bool = False
    garbage: bool = False
    empty: bool = False
    crlf: bool = False
    content_length_mismatch: bool = False

    stop_reason: str | None = None
    category: str | None = None
    explanation: str | None = None
    redacted: bool = False
    bad_json: bool = False
    answer: str | None = None

    @property
    def beta_patterns(self) -> tuple[str, ...]:
        return _items(self.refused_betas)

    @property
    def field_names(self) -> tuple[str, ...]:
        return _items(self.refused_fields)


def _items(text: str | None) -> tuple[str, ...]:
    return tuple(item for item in (each.strip() for each in (text or "").split(",")) if item)


class Match(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which requests a rule applies to; all conditions must hold. Names may be globs (``claude-opus-*``)."""

    endpoint: Literal["messages", "count_tokens", "token", "any"] = "messages"
    model: str | None = None
    location: str | None = None
    project: str | None = None
    stream: bool | None = None
    text: str | None = None
    nth: tuple[int, ...] | None = None
    first: int | None = None
    after: Annotated[int, Meta(ge=0)] = 0
    every: Annotated[int, Meta(ge=1)] = 1
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fault: FaultSpec
    match: Match = Match()
    name: str = ""


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules in order; the first that matches gives the fault."""

    rule: tuple[Rule, ...] = ()
    seed: int = 0
    description: str = ""


class BadDirective(ValueError):
    """A directive that cannot be parsed; the message names the word and says what is valid."""


_DURATIONS: Final = frozenset({"delay", "first_token_delay", "stall", "drip"})
_FLAGS: Final = frozenset(
    name
    for name, field in zip(FaultSpec.__struct_fields__, FaultSpec.__struct_defaults__, strict=True)
    if field is False
)


def parse_duration(text: str) -> float:
    """``1.5``, ``10ms``, ``2s``, ``1m`` -> seconds.

    :raises BadDirective: not a duration.
    """
    match = _DURATION.match(text)
    if match is None:
        raise BadDirective(f"'{text}' is not a duration; write seconds (1.5) or 10ms, 2s, 1m")
    return min(float(match[1]) * _UNITS[match[2]], MAX_SECONDS)


def parse_fault(words: Mapping[str, str | None]) -> FaultSpec:
    """``{"status": "529", "times": "2"}`` -> FaultSpec. A word without a value is a flag.

    :raises BadDirective: an unknown word, or a value of the wrong type.
    """
    fields: dict[str, Any] = {}
    for word, value in words.items():
        name = word.replace("-", "_")
        if name == "html":
            fields["shape"] = "html"
            name, value = "status", value or "502"
        if name not in FaultSpec.__struct_fields__:
            known = ", ".join(FaultSpec.__struct_fields__)
            raise BadDirective(f"unknown word '{word}' in an emulator directive; known: {known}, html")
        fields[name] = _value(name, value)
    try:
        return msgspec.convert(fields, FaultSpec, strict=False)
    except msgspec.ValidationError as error:
        raise BadDirective(f"an emulator directive cannot be read: {in_json_terms(str(error))}") from error


def _value(name: str, value: str | None) -> Any:
    if name in _FLAGS:
        return value is None or value.lower() in {"true", "1", "yes", "on"}
    if value is None:
        raise BadDirective(f"'{name}' needs a value, as in {name}=1")
    return parse_duration(value) if name in _DURATIONS else value
