"""The settings of streams, a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from modelmux.config.annotations import doc
from modelmux.config.values import Bytes, Seconds


class StreamClient(Struct, forbid_unknown_fields=True, kw_only=True):
    """How to stream to certain clients; the first matching entry applies."""

    user_agent: Annotated[str | None, doc("Substring of the User-Agent header, in any case.", example="my-client")] = (
        None
    )
    header: Annotated[str | None, doc("Name of a header that must be present.", example="x-client")] = None
    contains: Annotated[
        str | None, doc("Substring of that header's value, in any case; not set: any value.", example="batch")
    ] = None
    mode: Annotated[
        Literal["standard", "buffered", "single", "json"],
        doc("As streaming.mode; json answers a request for a stream with one JSON object.", example="single"),
    ]


class StreamingConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """How responses are streamed to clients that request a stream."""

    mode: Annotated[
        Literal["auto", "standard", "buffered", "single"],
        doc("auto: by client; standard: as the upstream sends; buffered: in larger pieces; single: all at once."),
    ] = "auto"
    buffer_size: Annotated[Bytes, doc("In mode buffered: maximum size of text that is held back.")] = Bytes(65536)
    buffer_timeout: Annotated[Seconds, doc("In mode buffered: how long text is held back at most.")] = Seconds(5)
    keep_alive_interval: Annotated[
        Seconds,
        doc("How often a comment or ping is sent on a silent stream, so that nothing closes the connection; 0: never."),
    ] = Seconds(10)
    clients: Annotated[list[StreamClient], doc("Rules by client, applied before the built-in ones.")] = []
