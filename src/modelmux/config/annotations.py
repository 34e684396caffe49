"""What the schema attaches to the type of a setting: its description and its environment variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Env:
    """An environment variable that sets a value.

    :param deprecated: still works, with a warning that names its successor.
    :param base64: the variable holds the value in base64.
    :param shared: other programs read it too, so it may have been set for them.
    """

    name: str
    deprecated: bool = False
    base64: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Doc:
    """The description of a setting, and its environment variables in addition to the one derived from its path. The
    first that is set wins.

    :param example: a value to show where the default shows nothing.
    """

    text: str
    env: tuple[Env, ...] = ()
    example: Any = None


def doc(text: str, *env: str | Env, example: Any = None) -> Doc:
    return Doc(text, tuple(Env(e) if isinstance(e, str) else e for e in env), example)
