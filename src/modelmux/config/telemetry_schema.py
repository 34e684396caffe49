"""``[telemetry]``: what the variables of OpenTelemetry do not say; a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from modelmux.config.annotations import doc

GenAi = Literal["0.1", "1.37"]


class TelemetryConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Traces and metrics by OpenTelemetry, beside its own variables, which turn them on."""

    genai: Annotated[
        GenAi,
        doc("The conventions for generative AI whose names are sent: 1.37 is what many dashboards read, up to 1.41."),
    ] = "0.1"
    keep: Annotated[
        list[str],
        doc(
            'Traces that are sent beside those of the sampler: "errors", "slow>30s", "cost>1" (in USD).',
            example=["errors", "slow>30s"],
        ),
    ] = []
    propagate: Annotated[
        bool,
        doc("Calls to Vertex AI have the header traceparent, for a proxy on the way that traces."),
    ] = False
    usage_attributes: Annotated[
        bool, doc("Spans have the tokens of requests; false where the traces of clients have them already.")
    ] = True
    trace_url: Annotated[
        str | None,
        doc("Where a trace is shown; the dashboard links to it.", example="https://traces.example.com/{trace_id}"),
    ] = None
