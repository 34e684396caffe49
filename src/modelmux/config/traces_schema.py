"""``[traces]``: the records of requests that ``modelmux trace`` shows; a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from modelmux.config.annotations import doc


class TracesConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Records of the latest requests, without any text of them, for ``modelmux trace``. OpenTelemetry has variables of
    its own."""

    enabled: Annotated[
        bool | None,
        doc(
            "Keep the latest 10,000 requests for a week. If not set: where the admin API is served, or capture is on.",
            example=True,
        ),
    ] = None
