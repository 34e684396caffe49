"""``[metrics]``, a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from modelmux.config.annotations import doc


class MetricsConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """What `/metrics` shows."""

    max_teams: Annotated[
        int,
        doc("How many teams have a label of their own; the others share the label _other."),
        Meta(ge=0, le=1000),
    ] = 200
