"""The names of OpenTelemetry's GenAI conventions, in one place, with what an older set calls the same.

Version 0.1.0 is that of the repository semantic-conventions-genai, all of it of status Development. Versions 1.37 to
1.41 of semantic-conventions are for dashboards that were made before; ``telemetry.genai`` chooses. Never are both sent:
who adds up would count twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelmux.config.telemetry_schema import GenAi, TelemetryConfig
from modelmux.telemetry import names

_USAGE: Final = "gen_ai.usage."
#: Attribute of the span of a model -> its name in the older set; None where that has none.
ATTRIBUTES: Final[dict[str, str | None]] = {
    "gen_ai.operation.name": "gen_ai.operation.name",
    "gen_ai.provider.name": "gen_ai.provider.name",
    "gen_ai.request.model": "gen_ai.request.model",
    "gen_ai.request.stream": None,
    "gen_ai.request.max_tokens": "gen_ai.request.max_tokens",
    "gen_ai.request.temperature": "gen_ai.request.temperature",
    "gen_ai.request.top_p": "gen_ai.request.top_p",
    "gen_ai.request.top_k": "gen_ai.request.top_k",
    "gen_ai.request.stop_sequences": "gen_ai.request.stop_sequences",
    "gen_ai.request.reasoning.level": None,
    "gen_ai.output.type": "gen_ai.output.type",
    "gen_ai.response.model": "gen_ai.response.model",
    "gen_ai.response.id": "gen_ai.response.id",
    "gen_ai.response.finish_reasons": "gen_ai.response.finish_reasons",
    "gen_ai.response.time_to_first_chunk": None,
    "gen_ai.usage.input_tokens": "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens": "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_write.input_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.reasoning.output_tokens": None,
}
#: Version -> our metric -> its name there.
DURATIONS: Final[dict[GenAi, dict[str, str]]] = {
    "0.1": {
        names.METRIC_DURATION: "gen_ai.client.inference.duration",
        names.METRIC_TIME_TO_FIRST_TOKEN: "gen_ai.client.inference.time_to_first_chunk",
    },
    "1.37": {
        names.METRIC_DURATION: "gen_ai.client.operation.duration",
        names.METRIC_TIME_TO_FIRST_TOKEN: "gen_ai.client.operation.time_to_first_chunk",
    },
}
#: Of the newer set: counters of tokens, by type in our metric. Those of the cache are input, too.
TOKEN_COUNTERS: Final = {
    "input": ("gen_ai.client.inference.usage.input_tokens",),
    "cache_read": (
        "gen_ai.client.inference.usage.input_tokens", "gen_ai.client.inference.usage.cache_read.input_tokens",
    ),
    "cache_write": (
        "gen_ai.client.inference.usage.input_tokens", "gen_ai.client.inference.usage.cache_write.input_tokens",
    ),
    "output": ("gen_ai.client.inference.usage.output_tokens",),
}  # fmt: skip
#: Of the older set: a histogram of the tokens of a request, with their type as an attribute.
TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - not a password
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - not a password
#: Buckets that the older set advises.
TOKEN_BOUNDS: Final = tuple(float(4**power) for power in range(14))


def span_names(telemetry: TelemetryConfig) -> Mapping[str, str | None]:
    """Attribute of a span -> the name that it is sent by; None if it is not sent. Those that are not in it stay."""
    renamed = ATTRIBUTES if telemetry.genai == "1.37" else {name: name for name in ATTRIBUTES}
    if telemetry.usage_attributes:
        return renamed
    return {name: None if name.startswith(_USAGE) else new for name, new in renamed.items()}
