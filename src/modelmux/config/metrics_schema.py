"""``[metrics]``, a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelmux.config.annotations import doc


class MetricsConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """What `/metrics` shows, and where."""

    listener: Annotated[
        Literal["both", "admin"],
        doc("Where /metrics is: on the port of the models and on that of the admin API, or on the latter only."),
    ] = "both"
    tag: Annotated[
        str | None, doc("Name of the tag that requests, tokens and costs are shown by, too.", example="app")
    ] = None
    tag_values: Annotated[
        list[str],
        doc("Up to 200 values of it, each with a label of its own; others share the label _other.", example=["chat"]),
    ] = []
    max_teams: Annotated[
        int,
        doc("How many teams have a label of their own; the others share the label _other."),
        Meta(ge=0, le=1000),
    ] = 200
