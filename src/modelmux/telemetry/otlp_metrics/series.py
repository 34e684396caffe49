"""The numbers of Prometheus -> those of OpenTelemetry: names, units and attributes. No SDK, no clock.

The names of ``gen_ai.*`` are those of the GenAI conventions, see ``genai_names.py``; everything else is ``modelmux.*``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from modelmux.config.telemetry_schema import GenAi
from modelmux.telemetry import names
from modelmux.telemetry.counters import Observations
from modelmux.telemetry.genai_names import DURATIONS, TOKEN_BOUNDS, TOKEN_COUNTERS, TOKEN_TYPE, TOKEN_USAGE
from modelmux.telemetry.token_sizes import TOKEN_TYPES
from modelmux.telemetry.tracing.spans import PROVIDER
from modelmux.telemetry.worker_metrics import MetricValues

Attributes = tuple[tuple[str, str], ...]
#: The model of a request that named none that is served.
OTHER_MODEL: Final = "_OTHER"
_UNKNOWN_ROUTE: Final = "unknown"
#: Suffix of a name -> unit.
_UNITS: Final = {"_seconds": "s", "_days": "d", "_usd": "USD"}


class Series(Struct, frozen=True, kw_only=True):
    """One metric.

    :param numbers: of a counter or a gauge. :param histograms: of a histogram: buckets and sum.
    :param bounds: upper ones of the buckets.
    """

    name: str
    unit: str
    about: str
    kind: str
    numbers: Mapping[Attributes, float] = {}
    histograms: Mapping[Attributes, Observations] = {}
    bounds: tuple[float, ...] = ()


def series_of(values: MetricValues, bounds: Mapping[str, tuple[float, ...]], genai: GenAi = "0.1") -> Iterator[Series]:
    """Every metric that has a number.

    :param bounds: histogram -> upper bounds of its buckets.
    :param genai: version of the conventions: metrics of theirs have the model that is asked for as an attribute, which
        is a configured name.
    """
    gen_ai, sizes = DURATIONS[genai], dict[Attributes, Observations]()
    for name, numbers in (values.counters | values.gauges).items():
        if name == names.METRIC_TOKENS:
            if genai == "0.1":
                yield from _tokens(numbers)
        elif numbers:
            info, (own, unit) = names.METRICS[name], own_name(name)
            labelled = {_attributes(info.labels, labels): number for labels, number in numbers.items()}
            yield Series(name=own, unit=unit, about=info.meaning, kind=info.kind, numbers=labelled)
    for name, by_label in values.histograms.items():
        if name in TOKEN_TYPES:
            token_type = ((TOKEN_TYPE, TOKEN_TYPES[name]),)
            sizes |= {(*_of_model(label), *token_type): observed for label, observed in by_label.items()}
            continue
        if not by_label:
            continue
        info, (own, unit) = names.METRICS[name], own_name(name)
        is_gen_ai = name in gen_ai
        observed = {
            _of_model(label) if is_gen_ai else _attributes(info.labels, (label,)): observations
            for label, observations in by_label.items()
        }
        yield Series(
            name=gen_ai.get(name, own), unit=unit, about=info.meaning, kind="histogram", histograms=observed,
            bounds=bounds[name],
        )  # fmt: skip
    if sizes:
        yield Series(
            name=TOKEN_USAGE, unit="{token}", about="tokens of a request", kind="histogram", histograms=sizes,
            bounds=TOKEN_BOUNDS,
        )  # fmt: skip


def own_name(name: str) -> tuple[str, str]:
    """``modelmux_cost_usd_total`` -> ``modelmux.cost.usd`` and its unit."""
    rest = name.removeprefix("modelmux_").removesuffix("_total")
    unit = next((unit for suffix, unit in _UNITS.items() if rest.endswith(suffix)), "1")
    rest = rest.removesuffix("_seconds").removesuffix("_days")
    return f"modelmux.{rest.removesuffix('_usd')}.usd" if unit == "USD" else f"modelmux.{rest}", unit


def _tokens(numbers: Mapping[tuple[str, ...], float]) -> Iterator[Series]:
    sums: dict[str, dict[Attributes, float]] = {}
    for (route, type), number in numbers.items():
        for metric in TOKEN_COUNTERS.get(type, ()):
            of_metric, attributes = sums.setdefault(metric, {}), _of_model(route)
            of_metric[attributes] = of_metric.get(attributes, 0) + number
    for metric, by_route in sums.items():
        yield Series(name=metric, unit="{token}", about="tokens of all attempts", kind="counter", numbers=by_route)


def _attributes(labels: tuple[str, ...], values: tuple[str, ...]) -> Attributes:
    return tuple((f"modelmux.{label}", value) for label, value in zip(labels, values, strict=True))


def _of_model(route: str) -> Attributes:
    model = OTHER_MODEL if route == _UNKNOWN_ROUTE else route
    return (
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", PROVIDER),
        ("gen_ai.request.model", model),
    )
