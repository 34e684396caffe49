"""``[capture]``: what clients and upstreams sent, kept for a while; a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from modelmux.config.annotations import doc
from modelmux.config.values import Bytes


class CaptureConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Bodies of requests and responses, in the client's dialect and in the upstream's, for ``modelmux trace`` and
    ``modelmux replay``. They are what people wrote: off by default, and only for keys that opt in."""

    enabled: Annotated[
        bool, doc("Keep the bodies of requests whose virtual key has opted in: `modelmux keys edit KEY --capture`.")
    ] = False
    without_account: Annotated[
        bool,
        doc("Also those of requests with a key of server.api_keys, or with none: these cannot opt in themselves."),
    ] = False
    max_body_bytes: Annotated[Bytes, doc("What is kept of one body; the rest is left out."), Meta(gt=0)] = Bytes(2**20)
    max_bytes: Annotated[
        Bytes, doc("What is kept of all bodies together, compressed; the oldest are dropped."), Meta(gt=0)
    ] = Bytes(256 * 2**20)
    max_requests: Annotated[int, doc("How many requests are kept; the oldest are dropped."), Meta(ge=1, le=100_000)] = (
        1_000
    )
    days: Annotated[int, doc("How long they are kept."), Meta(ge=1, le=90)] = 3
    files: Annotated[
        bool, doc("Keep images and documents, too; if false, their type and size are kept in their place.")
    ] = False
