"""The message item of a response: adjacent text blocks of a reply, or a refusal.

The item begins at its first text that is not blank; blank text before it is held back and becomes its beginning. A part
ends after a text with citations, because the events of a part are its text, then its annotations.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from modelmux.dialects.openai_responses.output import Output
from modelmux.dialects.openai_shared.citations import cited_urls
from modelmux.dialects.openai_shared.code_block import CodeBlockStripper
from modelmux.wire.openai import responses_reply as wire


class OpenMessage:
    """A message item under way.

    :param strip: remove the Markdown fence around a text that is one code block.
    """

    __slots__ = (
        "_block_start", "_citations", "_frames", "_held", "_id", "_index", "_length", "_output", "_parts", "_stripper",
        "_texts", "plain",
    )  # fmt: skip

    def __init__(self, output: Output, *, strip: bool) -> None:
        self._output = output
        self._stripper = CodeBlockStripper() if strip else None
        self._held = ""
        self._id = ""  # once the item has begun
        self._index = output.index
        self._parts: list[bytes] = []
        self._texts: list[bytes] = []  # of the open part, each as the inside of a JSON string
        self._frames: wire.DeltaFrames | None = None  # while a part is open
        #: The same, if text can be added without a look at it.
        self.plain: wire.DeltaFrames | None = None
        self._length = 0  # of the open part, in characters
        self._block_start = 0
        self._citations: list[Raw] = []

    @property
    def keeps_text(self) -> bool:
        """Whether text is added as it comes."""
        return self._stripper is None

    def start_block(self, citations: list[Raw] | None) -> None:
        """Another text block begins."""
        self._block_start = self._length or len(self._held)
        self._citations = [*(citations or ())]

    def cite(self, citation: Raw) -> None:
        self._citations.append(citation)

    def add_text(self, text: str) -> None:
        self._write(text if self._stripper is None else self._stripper.feed(text))

    def add_run(self, texts: list[bytes], characters: int) -> bytes:
        """Add many texts, each as the inside of a JSON string. Only if ``plain``.

        :returns: their frames.
        """
        assert self.plain is not None
        self._texts += texts
        self._length += characters
        return self.plain.encode_run(texts, self._output.next_number(len(texts)))

    def add_plain(self, text: str) -> bytes:
        """Add one text that is not empty. Only if ``plain``.

        :returns: its frame.
        """
        assert self.plain is not None
        escaped = wire.encode(text)[1:-1]
        self._texts.append(escaped)
        self._length += len(text)
        return self.plain.encode(escaped, self._output.next_number())

    def end_block(self) -> None:
        """The end of a text block: its citations become annotations of its text."""
        start, end = self._block_start, self._length
        urls = cited_urls(self._citations)
        self._citations = []
        if not urls or self._frames is None or self._stripper is not None or end <= start:
            return
        annotations = [wire.UrlCitation(start, end, url, title) for url, title in urls.items()]
        for number, annotation in enumerate(annotations):
            self._emit("output_text.annotation.added", annotation_index=number, annotation=annotation)
        self._end_part(annotations)

    def close(self, status: wire.ItemStatus) -> None:
        """The end of the item."""
        if self._stripper is not None:
            self._write(self._stripper.finish())
        if not self._id:
            return
        if self._frames is not None:
            self._end_part([])
        self._output.done(wire.MessageItem(id=self._id, status=status, content=list(map(Raw, self._parts))))

    def _write(self, text: str) -> None:
        if not text:
            return
        if not self._id:
            if text.isspace():
                self._held += text
                return
            text = self._held + text
            self._id = self._output.new_id("msg")
            self._output.added(wire.MessageItem(id=self._id, status="in_progress"))
        frames = self._frames or self._start_part()
        escaped = wire.encode(text)[1:-1]
        self._texts.append(escaped)
        self._length += len(text)
        self._output.emit_delta(frames, escaped)

    def _start_part(self) -> wire.DeltaFrames:
        place = self._place()
        self._output.emit("response.content_part.added", **place, part=wire.OutputText(""))
        frames = self._frames = wire.DeltaFrames("response.output_text.delta", place)
        self.plain = frames if self._stripper is None else None
        return frames

    def _end_part(self, annotations: list[wire.UrlCitation]) -> None:
        text = Raw(b'"%b"' % b"".join(self._texts))
        part = Raw(wire.encode(wire.OutputText(text, annotations)))
        self._emit("output_text.done", text=text, logprobs=[])
        self._emit("content_part.done", part=part)
        self._parts.append(bytes(part))
        self._texts, self._frames, self.plain, self._length = [], None, None, 0

    def _emit(self, type: str, **fields: Any) -> None:
        self._output.emit(f"response.{type}", **self._place(), **fields)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._index, "content_index": len(self._parts)}


def add_refusal(output: Output, text: str) -> None:
    """A message item of its own: clients read a refusal beside other text as text."""
    id, index = output.new_id("msg"), output.index
    place: dict[str, Any] = {"item_id": id, "output_index": index, "content_index": 0}
    output.added(wire.MessageItem(id=id, status="in_progress"))
    output.emit("response.content_part.added", **place, part=wire.Refusal(""))
    output.emit("response.refusal.delta", **place, delta=text)
    output.emit("response.refusal.done", **place, refusal=text)
    part = Raw(wire.encode(wire.Refusal(text)))
    output.emit("response.content_part.done", **place, part=part)
    output.done(wire.MessageItem(id=id, status="completed", content=[part]))
