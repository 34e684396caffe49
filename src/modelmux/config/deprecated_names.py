"""Old names of settings -> the present ones: one table, and the rewriting of a tree by it.

Every source is rewritten on its own, before sources are merged, so that an old name in a stronger source wins over the
new name in a weaker one. Within one source the new name wins. An old name never makes a configuration invalid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from modelmux.config.check import Problem, check_value
from modelmux.config.paths import ABSENT, KeyPath, dotted, get_path, set_path
from modelmux.config.values import Milliseconds

#: Stands in a path for every entry of a list of tables.
EACH: Final = "[]"


class OldName(Struct, frozen=True):
    """A setting that was renamed.

    :param old: its old path; ``[]`` stands for every entry of a list.
    :param new: its present path.
    :param kind: the type of the old values, where it differs from the present one.
    :param translate: an old value of that type -> the present value; None where it sets nothing.
    :param deprecated: its use is worth a warning. The others are plain synonyms; to set both is an error.
    :param note: what the table in the documentation adds.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    kind: Any = None
    translate: Callable[[Any], Any] | None = None
    deprecated: bool = True
    note: str = ""


def _renamed(old: str, new: str, **more: Any) -> OldName:
    return OldName(tuple(old.split(".")), tuple(new.split(".")), **more)


#: In this order: of two old names for one setting, the first that sets something wins.
OLD_NAMES: Final = (
    _renamed(
        "server.enable_retries",
        "retries.max",
        kind=bool,
        translate=lambda enabled: None if enabled else 0,
        note="`false` is `retries.max = 0`; `true` changes nothing",
    ),
    _renamed("server.max_retry_attempts", "retries.max"),
    _renamed("logs.keep", "logs.retention_days"),
    _renamed("limits.requests", "limits.max_concurrent_requests"),
    _renamed("limits.queue", "limits.max_queued_requests"),
    _renamed("streaming.keep_alive", "streaming.keep_alive_interval"),
    _renamed(
        "streaming.chunk_timeout_ms",
        "streaming.buffer_timeout",
        kind=Milliseconds,
        translate=lambda milliseconds: milliseconds / 1000,
        note="a plain number was milliseconds and is seconds now",
    ),
    _renamed("vertex.caching", "vertex.prompt_caching"),
    _renamed("vertex.models.[].caching", "vertex.models.[].prompt_caching"),
    _renamed("vertex.fallback_to_default", "vertex.default_for_unknown_models"),
    # keys of the 1.x program that keep working without a warning
    _renamed("vertex.project_id", "vertex.project", deprecated=False),
    _renamed("vertex.model_id", "vertex.model", deprecated=False),
    _renamed("vertex.models.[].project_id", "vertex.models.[].project", deprecated=False),
    _renamed("vertex.models.[].model_id", "vertex.models.[].model", deprecated=False),
)

#: Old values of a setting -> the present ones. Synonyms: they need no warning.
_STREAM_MODES: Final = {"always": "standard", "never": "single", "non-streaming": "single"}
OLD_VALUES: Final[Mapping[tuple[str, ...], Mapping[str, str]]] = {
    ("streaming", "mode"): _STREAM_MODES,
    ("streaming", "clients", EACH, "mode"): _STREAM_MODES,
}


class OldUse(Struct, frozen=True):
    """A deprecated name that a tree used.

    :param effect: what to write after the successor, where the value differs (`` = 0``); None if it set nothing.
    :param winner: the other path that sets the same in this tree, if there is one.
    """

    old: KeyPath
    successor: KeyPath
    effect: str | None = ""
    winner: KeyPath | None = None

    def message(self, name_of: Callable[[KeyPath], str] = dotted) -> str:
        """The warning.

        :param name_of: a path -> the name to show: of the setting, or of the variable that sets it.
        """
        old = name_of(self.old)
        if self.winner is not None:
            return f"{old} is deprecated and ignored, because {name_of(self.winner)} is also set; remove it"
        if self.effect is None:
            return f"{old} is deprecated and has no effect here; remove it"
        return f"{old} is deprecated; set {name_of(self.successor)}{self.effect} instead"


class Rewritten(Struct):
    """What ``rewrite`` did to a tree.

    :param renamed: present path -> the old path that set it.
    """

    uses: list[OldUse]
    renamed: dict[KeyPath, KeyPath]
    problems: list[Problem]


def rewrite(tree: Any) -> Rewritten:
    """Replace old names and old values in a tree, in place."""
    done = Rewritten([], {}, [])
    for name in OLD_NAMES:
        for old in _matches(tree, name.old):
            _rename(tree, name, old, done)
    for pattern, values in OLD_VALUES.items():
        for path in _matches(tree, pattern):
            value = get_path(tree, path)
            if isinstance(value, str) and value in values:
                set_path(tree, path, values[value])
    return done


def _rename(tree: Any, name: OldName, old: KeyPath, done: Rewritten) -> None:
    new = _successor(name, old)
    value = get_path(tree, old[:-1]).pop(old[-1])
    if name.kind is not None:
        value, problems = check_value(value, name.kind, None, old)
        if problems:
            done.problems += problems
            return
    if get_path(tree, new) is not ABSENT:
        winner = done.renamed.get(new, new)
        if name.deprecated:
            done.uses.append(OldUse(old, new, winner=winner))
        else:
            done.problems.append(Problem(old, f"another name of {new[-1]}, which is also set; remove one"))
        return
    effect: str | None = ""
    if name.translate is not None:
        value = name.translate(value)
        effect = None if value is None else f" = {value:g}"
    if value is not None and set_path(tree, new, value):
        done.renamed[new] = old
    if name.deprecated:
        done.uses.append(OldUse(old, new, effect))


def _successor(name: OldName, old: KeyPath) -> KeyPath:
    """The present path of an entry, with the list positions of the old one."""
    positions = (key for key in old if isinstance(key, int))
    return tuple(next(positions) if key == EACH else key for key in name.new)


def _matches(tree: Any, pattern: tuple[str, ...], path: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of a tree that fit a pattern."""
    if not pattern:
        yield path
        return
    first, rest = pattern[0], pattern[1:]
    if first == EACH:
        for index, entry in enumerate(tree if isinstance(tree, list) else ()):
            yield from _matches(entry, rest, (*path, index))
    elif isinstance(tree, dict) and first in tree:
        yield from _matches(tree[first], rest, (*path, first))
