"""The settings of the Responses API, a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from modelmux.config.annotations import doc
from modelmux.config.values import Bytes, Seconds

#: OpenAI's own limit: 30 days, in seconds.
_MAX_TTL = 30 * 86400
_DATABASE: Final = "postgres(ql)?://.*"
_REDIS: Final = "(redis|valkey)s?://.*"


class ResponsesConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """OpenAI's Responses API."""

    store: Annotated[
        str,
        doc("Where responses are stored. auto: memory, or sqlite for several workers. Nodes share a PostgreSQL one."),
        Meta(
            pattern=f"^(auto|memory|sqlite|off|{_DATABASE})$",
            description="auto, memory, sqlite, off or the URL of a PostgreSQL database",
        ),
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


class ThinkingConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Thinking that is remembered for clients that cannot send it back."""

    store: Annotated[
        str,
        doc(
            "Where it is remembered, for two hours. For several nodes: a PostgreSQL database, or a server of Redis or "
            "Valkey."
        ),
        Meta(
            pattern=f"^(memory|{_DATABASE}|{_REDIS})$",
            description="memory or the URL of a PostgreSQL database or of a Redis server",
        ),
    ] = "memory"
    max_bytes: Annotated[
        Bytes,
        doc("Maximum size in the database; the oldest is dropped. In memory it is 64 MiB, in Redis its maxmemory."),
        Meta(gt=0),
    ] = Bytes(1024 * 2**20)
