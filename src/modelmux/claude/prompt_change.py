"""What a turn of a conversation has changed of the prompt of the turn before, by the digests of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from modelmux.claude.prompt_digests import (
    DIGEST,
    MOST_MESSAGES,
    MOST_SYSTEM,
    MOST_TOOLS,
    SETTINGS,
    Chain,
    PromptDigests,
    kept_indexes,
)

#: In the order in which the prompt cache reads them.
Part = Literal["tools", "system", "messages"]
_ROLES: Final = {"u": "user", "a": "assistant", "s": "system"}


class PromptChange(Struct, frozen=True):
    """The first item that is not as it was, and what else has changed. Without both, the prompt extends the one before.

    :param part: of the item; None if there is none.
    :param first, last: the item is between these two, from 0 on and inclusive: of a long part not all digests are kept.
    :param kind: it has other content; it was added where there was none; or it is missing, with all after it.
    :param role: of a message, in this turn, or in the turn before if it is missing; None if it is not known.
    :param settings: names of fields that have another value.
    :param before, after: how many items the part has, that of messages if there is no item.
    """

    part: Part | None = None
    first: int = 0
    last: int = 0
    kind: Literal["changed", "added", "removed"] = "changed"
    role: str | None = None
    settings: tuple[str, ...] = ()
    before: int = 0
    after: int = 0

    @property
    def extends(self) -> bool:
        """Whether all of the prompt before is at the begin of this one."""
        return self.part is None and not self.settings


def change_of(before: PromptDigests, after: PromptDigests) -> PromptChange | None:
    """What ``after`` has changed of ``before``; None if they were made with different keys."""
    if before.key_check != after.key_check:
        return None
    settings = _settings(before, after)
    parts: Sequence[tuple[Part, Chain, Chain, int]] = (
        ("tools", before.tools, after.tools, MOST_TOOLS),
        ("system", before.system, after.system, MOST_SYSTEM),
        ("messages", before.messages, after.messages, MOST_MESSAGES),
    )
    for part, old, new, most in parts:
        counts = {"before": old.count, "after": new.count}
        difference = _first_difference(old, new, most)
        if difference is not None:
            first, last = difference
            role = _role(after, last) if part == "messages" and first == last else None
            return PromptChange(part, first, last, "changed", role, settings, **counts)
        if new.count < old.count:
            role = _role(before, new.count) if part == "messages" else None
            return PromptChange(part, new.count, new.count, "removed", role, settings, **counts)
        if new.count > old.count and part != "messages":
            return PromptChange(part, old.count, old.count, "added", None, settings, **counts)
    return PromptChange(settings=settings, before=before.messages.count, after=after.messages.count)


def has_same_begin(one: PromptDigests, other: PromptDigests) -> bool:
    """Whether the first message of both is the same."""
    first = one.messages.digests[:DIGEST]
    return bool(first) and first == other.messages.digests[:DIGEST]


def _first_difference(old: Chain, new: Chain, most: int) -> tuple[int, int] | None:
    """Between which items, inclusive, the first one is that differs; None if none does that both have."""
    before, after = _by_index(old, most), _by_index(new, most)
    first = 0
    for index in sorted(before.keys() & after.keys()):
        if before[index] != after[index]:
            return first, index
        first = index + 1
    return None


def _by_index(chain: Chain, most: int) -> dict[int, bytes]:
    indexes = kept_indexes(chain.count, most)
    return {index: chain.digests[DIGEST * at : DIGEST * (at + 1)] for at, index in enumerate(indexes)}


def _role(prompt: PromptDigests, index: int) -> str | None:
    indexes = kept_indexes(prompt.messages.count, MOST_MESSAGES)
    return _ROLES.get(prompt.roles[indexes.index(index)]) if index in indexes else None


def _settings(before: PromptDigests, after: PromptDigests) -> tuple[str, ...]:
    return tuple(
        name
        for at, name in enumerate(SETTINGS)
        if before.settings[DIGEST * at : DIGEST * (at + 1)] != after.settings[DIGEST * at : DIGEST * (at + 1)]
    )
