"""Risk: a name of the conventions changes unnoticed, or both sets are sent, so that who adds up counts twice."""

from __future__ import annotations

import pytest

from modelmux.config.telemetry_schema import GenAi, TelemetryConfig
from modelmux.telemetry import genai_names
from modelmux.telemetry.genai_names import span_names
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.otlp_metrics.series import Series, series_of
from modelmux.telemetry.token_sizes import TokenSizes
from modelmux.wire.anthropic import Usage

SAME = (
    "operation.name", "provider.name", "request.model", "request.max_tokens", "request.temperature", "request.top_p",
    "request.top_k", "request.stop_sequences", "output.type", "response.model", "response.id",
    "response.finish_reasons", "usage.input_tokens", "usage.output_tokens", "usage.cache_read.input_tokens",
)  # fmt: skip
NEW_ONLY = (
    "request.stream", "request.reasoning.level", "response.time_to_first_chunk", "usage.reasoning.output_tokens",
)  # fmt: skip


def test_the_table_is_this() -> None:
    """A frozen copy, from the migration guide of semantic-conventions-genai."""
    assert {
        **{f"gen_ai.{name}": f"gen_ai.{name}" for name in SAME},
        **{f"gen_ai.{name}": None for name in NEW_ONLY},
        "gen_ai.usage.cache_write.input_tokens": "gen_ai.usage.cache_creation.input_tokens",
    } == genai_names.ATTRIBUTES


def test_without_usage_no_span_has_tokens() -> None:
    for genai in ("0.1", "1.37"):
        names = span_names(TelemetryConfig(genai=genai, usage_attributes=False))
        assert not [new for name, new in names.items() if name.startswith("gen_ai.usage.") and new is not None]
        assert names["gen_ai.request.model"] == "gen_ai.request.model"


def shown(genai: GenAi) -> dict[str, Series]:
    metrics, sizes = Metrics(), TokenSizes()
    metrics.duration.observe("fast", 0.2)
    metrics.time_to_first_token.observe("fast", 0.1)
    for type, count in (("input", 1), ("cache_read", 20), ("cache_write", 300), ("output", 4000)):
        metrics.tokens.add_many(count, "fast", type)
    sizes.observe(
        "fast", Usage(input_tokens=1, output_tokens=4000, cache_read_input_tokens=20, cache_creation_input_tokens=300)
    )
    values = metrics.values()
    if genai == "1.37":
        values.histograms |= sizes.values
    return {one.name: one for one in series_of(values, metrics.bounds | sizes.bounds, genai)}


@pytest.mark.parametrize(
    ("genai", "expected"),
    [
        ("0.1", {
            "gen_ai.client.inference.duration", "gen_ai.client.inference.time_to_first_chunk",
            "gen_ai.client.inference.usage.input_tokens", "gen_ai.client.inference.usage.output_tokens",
            "gen_ai.client.inference.usage.cache_read.input_tokens",
            "gen_ai.client.inference.usage.cache_write.input_tokens",
        }),
        ("1.37", {
            "gen_ai.client.operation.duration", "gen_ai.client.operation.time_to_first_chunk",
            "gen_ai.client.token.usage",
        }),
    ],
)  # fmt: skip
def test_metrics_have_the_names_of_one_set(genai: GenAi, expected: set[str]) -> None:
    names = set(shown(genai))
    assert {name for name in names if name.startswith("gen_ai.")} == expected
    assert "modelmux.tokens" not in names, "they would be there twice"


def test_tokens_of_a_request_are_a_histogram_by_type() -> None:
    usage = shown("1.37")["gen_ai.client.token.usage"]
    of_model = (
        ("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "gcp.vertex_ai"), ("gen_ai.request.model", "fast"),
    )  # fmt: skip
    sums = {key: total for key, (_, (total,)) in usage.histograms.items()}
    assert sums == {
        (*of_model, ("gen_ai.token.type", "input")): 321, (*of_model, ("gen_ai.token.type", "output")): 4000,
    }  # fmt: skip
    assert (usage.unit, usage.bounds[:4], usage.bounds[-1]) == ("{token}", (1, 4, 16, 64), 67_108_864)
