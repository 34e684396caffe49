"""Events of a stream -> the response that they tell, as a client puts it together.

The terminal event repeats the whole response. What is folded here comes from the other events, so that the two can be
compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def fold_events(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The response, with the output that was put together from the deltas and the events of its items.

    :param events: the data of all events of one stream, decoded.
    """
    fold = _Fold()
    response: dict[str, Any] = {}
    for event in events:
        if "response" in event:
            response = event["response"]
        else:
            fold.feed(event)
    return {**response, "output": fold.output}


class _Fold:
    def __init__(self) -> None:
        self.output: list[dict[str, Any]] = []

    def feed(self, event: Mapping[str, Any]) -> None:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            self.output.append(dict(event["item"]))
            return
        item = self.output[event["output_index"]]
        if kind == "output_item.done":
            _complete(item, event["item"])
        elif kind == "content_part.added":
            item["content"] = [*item["content"], dict(event["part"])]
        elif kind == "reasoning_summary_part.added":
            item["summary"] = [*item["summary"], dict(event["part"])]
        elif kind == "output_text.annotation.added":
            part = item["content"][event["content_index"]]
            part["annotations"] = [*part["annotations"], event["annotation"]]
        elif kind in _DELTAS:
            field = _DELTAS[kind]
            target = _target(item, event)
            target[field] += event["delta"]


#: The field that the deltas of each type add to.
_DELTAS = {
    "output_text.delta": "text",
    "refusal.delta": "refusal",
    "reasoning_summary_text.delta": "text",
    "function_call_arguments.delta": "arguments",
    "custom_tool_call_input.delta": "input",
}


def _target(item: dict[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = item
    if "content_index" in event:
        part = item["content"][event["content_index"]]
    elif "summary_index" in event:
        part = item["summary"][event["summary_index"]]
    return part


def _complete(item: dict[str, Any], done: Mapping[str, Any]) -> None:
    """What only the end of an item tells."""
    for field in ("status", "encrypted_content"):
        if field in done:
            item[field] = done[field]
