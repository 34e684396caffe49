"""The grammar of a streamed response, as an automaton. Written from OpenAI's documentation and recorded streams, not
from the encoder: it shares no code with it.

``check`` reads the bytes of a whole stream, event by event, and raises ``GrammarError`` with a sentence about the first
thing that is wrong. What follows is what it accepts, in the notation of regular expressions:

    stream    = created in_progress item* end
    end       = completed | incomplete | failed
    item      = output_item.added content output_item.done
    reasoning = ( summary_part.added summary_text.delta* summary_text.done summary_part.done )*
    message   = ( content_part.added text content_part.done )+
    text      = ( output_text.delta | annotation.added )* output_text.done | refusal.delta* refusal.done
    function  = function_call_arguments.delta* function_call_arguments.done
    custom    = custom_tool_call_input.delta* custom_tool_call_input.done
    search    = web_search_call.in_progress .searching .completed
    compaction, local_shell, shell, apply_patch = (nothing)

``in_progress`` may be repeated anywhere, and ``failed`` may stand anywhere: it ends the stream as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from support.responses_frames import OURS, Failed, Json, Rules, frames
from support.responses_object import ResponseChecks

_TERMINALS: Final = ("response.completed", "response.incomplete", "response.failed")
_ID_PREFIXES: Final = {
    "message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_", "web_search_call": "ws_",
    "compaction": "cmp_",
}  # fmt: skip
#: Fields that an item has from its start, and keeps.
_CONSTANT: Final = ("id", "type", "role", "call_id", "name", "namespace")


class Accepted(NamedTuple):
    """A stream that was accepted.

    :param items: the items of ``output_item.done``, in order.
    :param response: of the last event.
    :param comments: how many comments there were.
    """

    events: list[Json]
    items: list[Json]
    response: Json
    comments: int


def check(raw: bytes, rules: Rules = OURS) -> Accepted:
    """:raises GrammarError:"""
    events, comments = frames(raw, rules)
    return _Reader(events, rules).stream(comments)


class _Reader(ResponseChecks):
    """Reads items."""

    def __init__(self, events: list[Json], rules: Rules) -> None:
        super().__init__(events, rules)
        self._ids: set[str] = set()
        self._open: Json = {}

    def stream(self, comments: int) -> Accepted:
        self.beginning()
        response = self._items_and_end()
        if self.at < len(self.events):
            self.fail(f"{self.events[self.at].get('type')} follows the event that has to be the last")
        return Accepted(self.events, self.items, response, comments)

    def _items_and_end(self) -> Json:
        try:
            while (event := self.take("response.output_item.added", *_TERMINALS))["type"] not in _TERMINALS:
                self._item(event)
        except Failed:
            event = self.take("response.failed")
        return self.end(event)

    def _inside(self, type: str, **indexes: int) -> Json:
        """The next event, which belongs to the open item."""
        event = self.take(type)
        self.equal(event.get("item_id"), self._open["id"], "item_id")
        for name, value in {"output_index": len(self.items), **indexes}.items():
            self.equal(event.get(name), value, name)
        return event

    def _part(self, type: str, **indexes: int) -> Json:
        part: Json = self.field(self._inside(type, **indexes), "part")
        return part

    def _item(self, added: Json) -> None:
        item: Json = self.field(added, "item")
        self.equal(added.get("output_index"), len(self.items), "output_index")
        type, id = self.field(item, "type"), self.field(item, "id")
        self.true(id not in self._ids and id != self.first["id"], f"the id {id} is used twice")
        self.true(id.startswith(_ID_PREFIXES.get(type, "")), f"{id!r} is not an id of a {type} item")
        self._ids.add(id)
        self._open = item
        if type in self.rules.hosted:
            content = self._hosted()
        elif type in _ITEMS:
            content = _ITEMS[type](self)
        else:
            self.fail(f"there is no grammar for an item of type {type!r}")
        self._done(content)

    def _done(self, content: Json) -> None:
        """``output_item.done``: the same item, with all that was streamed."""
        event = self.take("response.output_item.done")
        self.equal(event.get("output_index"), len(self.items), "output_index")
        item: Json = self.field(event, "item")
        for name in _CONSTANT:
            self.same(item.get(name), self._open.get(name), f"{name} of the finished item")
        for name, value in content.items():
            self.same(self.field(item, name), value, f"{name} of the finished item, compared with its events,")
        self._status(item)
        self.items.append(item)

    def _status(self, item: Json) -> None:
        if item["type"] == "compaction" or item["type"] in self.rules.hosted:
            return
        if item["type"] == "reasoning" and self.rules.openai_reasoning:
            return
        self.equal(self._open.get("status"), "in_progress", "status of an item that begins")
        status = item.get("status")
        # The SDK's type of this item has no status for one that was cut off.
        cut = "in_progress" if item["type"] == "apply_patch_call" else "incomplete"
        self.true(status in ("completed", cut), f"{status!r} is not a status of a finished item")
        self.true(not self.cut, "an item follows one that is incomplete")
        self.cut = status == cut

    def _reasoning(self) -> Json:
        self.equal(self._open.get("summary"), [], "summary of an item that begins")
        if not self.rules.openai_reasoning:
            self.true("content" not in self._open, "content is for reasoning that is not a summary")
            self.true(not self._open.get("encrypted_content"), "the item is sealed before there is anything in it")
        parts: list[Json] = []
        prefix = "response.reasoning_summary"
        while self.next() == f"{prefix}_part.added":
            where = {"summary_index": len(parts)}
            part = self._part(f"{prefix}_part.added", **where)
            self.same(part, {"type": "summary_text", "text": ""}, "a part that begins")
            text = self._text(f"{prefix}_text", "text", **where)
            closed = self._part(f"{prefix}_part.done", **where)
            self.same(closed, {"type": "summary_text", "text": text}, "a finished part")
            parts.append(closed)
        return {"summary": parts}

    def _message(self) -> Json:
        self.equal(self._open.get("content"), [], "content of an item that begins")
        self.equal(self._open.get("role"), "assistant", "role")
        parts: list[Json] = []
        while not parts or self.next() == "response.content_part.added":
            where = {"content_index": len(parts)}
            part = self._part("response.content_part.added", **where)
            if part.get("type") == "refusal":
                parts.append(self._refusal(part, **where))
            else:
                parts.append(self._output_text(part, **where))
        refusals = [part for part in parts if part["type"] == "refusal"]
        self.true(not refusals or len(parts) == 1, "a refusal shares its item with another part")
        texts = "".join(part.get("text") or part.get("refusal") or "" for part in parts)
        self.true(bool(texts.strip()), "a message without a text")
        return {"content": parts}

    def _output_text(self, part: Json, **where: int) -> Json:
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self.same(part, empty, "a part that begins")
        annotations: list[Json] = []
        logprobs: list[Any] = []
        deltas: list[str] = []
        while self.next() in ("response.output_text.delta", "response.output_text.annotation.added"):
            if self.next() == "response.output_text.delta":
                event = self._inside("response.output_text.delta", **where)
                deltas.append(self._delta(event))
                logprobs += self.field(event, "logprobs")
            else:
                event = self._inside("response.output_text.annotation.added", **where)
                self.equal(event.get("annotation_index"), len(annotations), "annotation_index")
                annotations.append(self.field(event, "annotation"))
        done = self._inside("response.output_text.done", **where)
        self.same(self.field(done, "text"), "".join(deltas), "the finished text, compared with its deltas,")
        self.true(bool(deltas), "a part without a text")
        self.same(done.get("logprobs"), logprobs, "logprobs of the finished text")
        closed = self._part("response.content_part.done", **where)
        want = {"type": "output_text", "text": done["text"], "annotations": annotations, "logprobs": logprobs}
        self.same(closed, want, "a finished part")
        for each in annotations:
            if each["type"] == "url_citation":
                inside = 0 <= each["start_index"] <= each["end_index"] <= len(closed["text"])
                self.true(inside, "a citation ends behind the text of its part")
        return closed

    def _refusal(self, part: Json, **where: int) -> Json:
        self.same(part, {"type": "refusal", "refusal": ""}, "a part that begins")
        text = self._text("response.refusal", "refusal", **where)
        closed = self._part("response.content_part.done", **where)
        self.same(closed, {"type": "refusal", "refusal": text}, "a finished part")
        return closed

    def _function(self) -> Json:
        self._call("arguments")
        return {"arguments": self._text("response.function_call_arguments", "arguments")}

    def _custom(self) -> Json:
        self._call("input")
        return {"input": self._text("response.custom_tool_call_input", "input")}

    def _call(self, field: str) -> None:
        self.equal(self._open.get(field), "", f"{field} of a call that begins")
        for name in ("call_id", "name"):
            self.true(bool(self._open.get(name)), f"a call without {name}")
        namespace = self._open.get("namespace", "none")
        self.true(isinstance(namespace, str) and bool(namespace), "a call with an empty namespace")

    def _search(self) -> Json:
        for step in ("in_progress", "searching", "completed"):
            self._inside(f"response.web_search_call.{step}")
        return {}

    def _compaction(self) -> Json:
        return {}

    def _emulated(self) -> Json:
        self.true(bool(self._open.get("call_id")), "a call without call_id")
        return {}

    def _hosted(self) -> Json:
        while self.next() not in ("response.output_item.added", "response.output_item.done", "", *_TERMINALS):
            event = self.take(self.next())
            self.equal(event.get("output_index"), len(self.items), "output_index")
            self.equal(event.get("item_id", self._open["id"]), self._open["id"], "item_id")
        return {}

    # -- texts

    def _text(self, prefix: str, field: str, **where: int) -> str:
        """Deltas and ``.done``, whose text is their sum."""
        deltas: list[str] = []
        while self.next() == f"{prefix}.delta":
            deltas.append(self._delta(self._inside(f"{prefix}.delta", **where)))
        done = self._inside(f"{prefix}.done", **where)
        text: str = self.field(done, field)
        self.same(text, "".join(deltas), f"{field} of {prefix}.done, compared with the deltas,")
        return text

    def _delta(self, event: Json) -> str:
        delta: str = self.field(event, "delta")
        self.true(delta != "", "an empty delta")
        return delta


_ITEMS: Final[dict[str, Callable[[_Reader], Json]]] = {
    "reasoning": _Reader._reasoning,
    "message": _Reader._message,
    "function_call": _Reader._function,
    "custom_tool_call": _Reader._custom,
    "web_search_call": _Reader._search,
    "compaction": _Reader._compaction,
    "local_shell_call": _Reader._emulated,
    "shell_call": _Reader._emulated,
    "apply_patch_call": _Reader._emulated,
}
