"""Streamed responses that differ from a right one in one place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Final

from support.responses_frames import Json


def raw(events: list[Json]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def renumbered(events: list[Json]) -> list[Json]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


#: Ways to change a stream at one place. The events of the result are numbered anew, so that what is wrong is not the
#: number; None where the result would be right as well.
Mutation = Callable[[list[Json], int], list[Json] | None]


def _own(event: Json) -> bool:
    """Whether an event belongs to a hosted tool, or may stand anywhere."""
    tools = ("mcp", "file_search", "code_interpreter", "apply_patch", "image_generation", "shell")
    return event["type"] == "error" or event["type"].removeprefix("response.").startswith(tools)


def drop(events: list[Json], at: int) -> list[Json] | None:
    return None if _own(events[at]) else renumbered(events[:at] + events[at + 1 :])


def duplicate(events: list[Json], at: int) -> list[Json] | None:
    free = _own(events[at]) or events[at]["type"] == "response.in_progress"
    return None if free else renumbered(events[: at + 1] + events[at:])


def swap(events: list[Json], at: int) -> list[Json] | None:
    pair = events[at : at + 2]
    if len(pair) < 2 or any(map(_own, pair)):
        return None
    one, two = (str(event.get("delta", event["type"])) for event in pair)
    same = pair[0]["type"] == pair[1]["type"] and one + two == two + one
    return None if same else renumbered(events[:at] + pair[::-1] + events[at + 2 :])


def renumber(events: list[Json], at: int) -> list[Json]:
    return [*events[:at], {**events[at], "sequence_number": at + 1}, *events[at + 1 :]]


def truncate(events: list[Json], at: int) -> list[Json]:
    return events[:at]


def end_early(events: list[Json], at: int) -> list[Json] | None:
    """Two terminals."""
    return renumbered([*events[:at], events[-1], *events[at:]])


def change_id(events: list[Json], at: int) -> list[Json] | None:
    event = copy.deepcopy(events[at])
    holder = event if "item_id" in event else event.get("item") or event.get("response")
    if holder is None:
        return None
    key = "item_id" if holder is event else "id"
    holder[key] += "0"
    return [*events[:at], event, *events[at + 1 :]]


def change_index(events: list[Json], at: int) -> list[Json] | None:
    names = [name for name in events[at] if name.endswith("_index") and name != "command_index"]
    if not names or (_own(events[at]) and names == ["annotation_index"]):
        return None
    name = names[at % len(names)]
    return [*events[:at], {**events[at], name: events[at][name] + 1}, *events[at + 1 :]]


def change_text(events: list[Json], at: int) -> list[Json] | None:
    """Something of what was streamed is another text when it is finished."""
    event = copy.deepcopy(events[at])
    holder = event.get("part", event)
    field = next((name for name in ("delta", "text", "arguments", "input", "refusal") if name in holder), None)
    if field is None or _own(event):
        return None
    holder[field] += "!"
    return [*events[:at], event, *events[at + 1 :]]


MUTATIONS: Final = [drop, duplicate, swap, renumber, truncate, end_early, change_id, change_index, change_text]
