"""What became of the prompt cache of a conversation between two turns, in sentences and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from modelmux.claude.prompt_change import PromptChange, change_of
from modelmux.store.traces.previous_turn import model_of
from modelmux.store.traces.record import Trace

#: Seconds that an entry of the cache lives after its last use, unless the client asks for an hour.
_LIFETIME: Final = 300
_MICRO: Final = 1_000_000
_NOUNS: Final = {
    "tools": ("tool", "tools"),
    "system": ("system block", "system blocks"),
    "messages": ("message", "messages"),
}


def sentences(trace: Trace, previous: Trace | None) -> list[str]:
    """Why the cache was read as far as it was. Empty for a request that has no prompt."""
    if trace.prompt is None:
        return []
    if previous is None or previous.prompt is None:
        return ["No earlier turn of this conversation is known."]
    change = change_of(previous.prompt, trace.prompt)
    texts = list(_circumstances(trace, previous))
    if change is None:
        return [*texts, "The turns cannot be compared: the seal key of the gateway was changed between them."]
    if change.settings:
        verb = "was" if len(change.settings) == 1 else "were"
        texts.append(f"{_listed(change.settings)} {verb} changed, which invalidates the cache of messages.")
    return [*texts, _prompt(change)]


def as_json(trace: Trace, previous: Trace | None) -> dict[str, Any] | None:
    """The same for machines; items are counted from 1 on. None for a request that has no prompt."""
    prompt = trace.prompt
    if prompt is None:
        return None
    before = None if previous is None else previous.prompt
    change = None if before is None else change_of(before, prompt)
    shown: dict[str, Any] = {
        "tools": prompt.tools.count,
        "system_blocks": prompt.system.count,
        "messages": prompt.messages.count,
        "previous_turn": None if previous is None else previous.request.request_id,
        "extends_previous_turn": None if change is None else change.extends,
        "changed_settings": [] if change is None else list(change.settings),
        "first_difference": None,
    }
    if change is not None and change.part is not None:
        shown["first_difference"] = {
            "part": change.part,
            "kind": change.kind,
            "from": change.first + 1,
            "to": change.last + 1,
            "role": change.role,
        }
    return shown | {"explanation": sentences(trace, previous)}


def _circumstances(trace: Trace, previous: Trace) -> Iterator[str]:
    """What makes a cache useless, whatever the prompt is."""
    old, new = model_of(previous), model_of(trace)
    if old != new and new is not None:
        yield f"The previous turn was answered by {old}, this one by {new}: each model has a cache of its own."
    here, there = _location(trace), _location(previous)
    if here != there and old == new and here is not None:
        yield f"The previous turn went to {there}, this one to {here}: locations do not share a cache."
    seconds = (trace.request.at - previous.request.at) / _MICRO
    if seconds > _LIFETIME:
        yield f"The previous turn was {duration(seconds)} before: the cache lives five minutes, or an hour if asked."
    tokens = previous.request.tokens
    if tokens is not None and not tokens.cache_read and not tokens.cache_write:
        yield (
            "The previous turn neither read from the cache nor wrote to it: its prompt had no `cache_control`, or was "
            "shorter than its model caches."
        )


def _prompt(change: PromptChange) -> str:
    if change.part is None:
        return _extension(change)
    one, many = _NOUNS[change.part]
    first, last = change.first + 1, change.last + 1
    role = f" ({change.role})" if change.role else ""
    if change.kind == "removed":
        what = f"this turn has no {one} {first}{role}"
    elif first == last:
        what = f"{one} {first}{role} was {change.kind}"
    else:
        what = f"one of the {many} {first} to {last} was changed"
    counts = f"the previous turn had {_count(change.before, one, many)}, this one has {change.after}"
    if change.first == 0:
        upto = {"tools": "nothing", "system": "nothing after the tools", "messages": "no message"}[change.part]
        return f"{what[0].upper()}{what[1:]}, so {upto} could be read from the cache ({counts})."
    return (
        f"The prompt is that of the previous turn up to {one} {change.first}; {what}, so the cache could be read up to "
        f"{one} {change.first} at most ({counts})."
    )


def _extension(change: PromptChange) -> str:
    added = change.after - change.before
    if not added:
        return "The prompt is that of the previous turn; nothing was added."
    more = _count(added, *_NOUNS["messages"])
    return f"The prompt extends that of the previous turn, which is unchanged, by {more}."


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _location(trace: Trace) -> str | None:
    attempts = trace.request.attempts
    return attempts[-1].location if attempts else None


def duration(seconds: float) -> str:
    """``12 s``, ``7 min``, ``3 h``, ``2 d``."""
    for unit, scale in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * scale:
            return f"{seconds / scale:.0f} {unit}"
    return f"{seconds:.0f} s"
