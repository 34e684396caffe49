"""The settings of the Responses API, a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelmux.config.annotations import doc
from modelmux.config.values import Bytes, Seconds

#: OpenAI's own limit: 30 days, in seconds.
_MAX_TTL = 30 * 86400


class ResponsesConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """OpenAI's Responses API."""

    store: Annotated[
        Literal["auto", "memory", "sqlite", "off"],
        doc("Where responses are stored for clients that refer to them. auto: memory, or sqlite for several workers."),
    ] = "auto"
    ttl: Annotated[
        Seconds,
        doc("How long a stored response is kept after its last use; at most 30 days."),
        Meta(gt=0, le=_MAX_TTL),
    ] = Seconds(3600)
    max_bytes: Annotated[
        Bytes,
        doc("Maximum size of all stored responses, of each process if in memory; the least recently used are dropped."),
        Meta(gt=0),
    ] = Bytes(256 * 2**20)
    hosted_tools: Annotated[
        Literal["reject", "drop"],
        doc("What becomes of tools that need a service of OpenAI's: reject the request, or drop them."),
    ] = "reject"
    web_search: Annotated[
        bool, doc("Run web searches, which are billed, for clients that declare the tool; if false, it is dropped.")
    ] = False
    done_marker: Annotated[
        bool, doc("End streams with data: [DONE], which OpenAI does not send, for clients that wait for it.")
    ] = False
    codex_refusals_as_text: Annotated[
        bool, doc("Send refusals to Codex as text, because it does not show refusals.")
    ] = True
