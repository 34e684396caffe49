"""Risk: a trace of which one half is recorded, or far more traces than were asked for."""

from __future__ import annotations

import random

import pytest

from modelmux.telemetry.trace_context import TraceContext
from modelmux.telemetry.tracing.sampling import Sampler, sampler_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def parent(*, sampled: bool) -> TraceContext:
    return TraceContext(TRACE, "00f067aa0ba902b7", sampled)


@pytest.mark.parametrize(
    ("name", "argument", "sampler"),
    [
        ("", "", Sampler(0.1, True)),
        ("", "0.5", Sampler(0.5, True)),
        ("always_on", "", Sampler(1.0, False)),
        ("always_off", "0.5", Sampler(0.0, False)),
        ("traceidratio", "1", Sampler(1.0, False)),
        ("traceidratio", "1e-3", Sampler(0.001, False)),
        ("parentbased_always_on", "", Sampler(1.0, True)),
        ("parentbased_always_off", "", Sampler(0.0, True)),
        ("parentbased_traceidratio", "0", Sampler(0.0, True)),
    ],
)
def test_the_samplers_of_the_variables(name: str, argument: str, sampler: Sampler) -> None:
    assert sampler_of(name, argument) == sampler


@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        ("always", "", "OTEL_TRACES_SAMPLER: 'always' is none of always_on, "),
        ("traceidratio", "10%", "OTEL_TRACES_SAMPLER_ARG: '10%' is not a number from 0 to 1"),
        ("traceidratio", "1.01", "OTEL_TRACES_SAMPLER_ARG: '1.01'"),
        ("traceidratio", "-0.1", "OTEL_TRACES_SAMPLER_ARG: '-0.1'"),
        ("traceidratio", "nan", "OTEL_TRACES_SAMPLER_ARG: 'nan'"),
    ],
)
def test_what_is_none(name: str, argument: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        sampler_of(name, argument)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("sampled", [False, True])
def test_a_client_decides_only_where_the_sampler_follows_it(sampled: bool) -> None:
    assert Sampler(float(not sampled), True).is_sampled(TRACE, parent(sampled=sampled)) == sampled
    assert Sampler(float(not sampled), False).is_sampled(TRACE, parent(sampled=sampled)) != sampled


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_share_that_is_sampled_is_the_ratio(ratio: float) -> None:
    numbers = random.Random(7)
    traces = [f"{numbers.getrandbits(128):032x}" for _ in range(20_000)]
    share = sum(Sampler(ratio, True).is_sampled(trace, None) for trace in traces) / len(traces)
    assert share == pytest.approx(ratio, abs=0.01)
