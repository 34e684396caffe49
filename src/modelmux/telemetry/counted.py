"""What all workers have counted since their start, for people: the numbers of ``/metrics``, added up by route and model
deployment, with quantiles in place of buckets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from modelmux.telemetry import names
from modelmux.telemetry.quantiles import Latency, Times, latency_of, times_of
from modelmux.telemetry.worker_metrics import MetricValues

#: Outcomes that do not count as failures: a client that left did not fail.
_NO_ERRORS: Final = frozenset({names.OUTCOME_OK, names.OUTCOME_CLIENT_DISCONNECTED})


class TokenSums(Struct, frozen=True, kw_only=True):
    """As upstreams reported them; ``input`` does not count what the cache read and wrote."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0


class RouteCounts(Struct, frozen=True, kw_only=True):
    """A name that clients ask for. :param request, first_content: null where nothing was measured."""

    route: str
    requests: int
    errors: int
    request: Times | None
    first_content: Times | None
    tokens: TokenSums


class Labelled(Struct, frozen=True, kw_only=True):
    """How often something was counted. :param name: the value of the label, or values with a blank between them."""

    name: str
    count: int


class Counted(Struct, frozen=True, kw_only=True):
    """
    :param requests: that have ended. :param errors: of them, those that failed; a client that left is none.
    :param queued: requests that wait for a slot.
    :param outcomes, error_responses: most first; an error response is named by its status and code.
    :param routes: those with most requests first.
    :param attempts: calls to upstreams, by deployment and result.
    """

    requests: int = 0
    errors: int = 0
    queued: int = 0
    latency: Latency = Latency()
    tokens: TokenSums = TokenSums()
    outcomes: tuple[Labelled, ...] = ()
    error_responses: tuple[Labelled, ...] = ()
    routes: tuple[RouteCounts, ...] = ()
    attempts: tuple[Labelled, ...] = ()


def counted(values: MetricValues, bounds: Mapping[str, Sequence[float]]) -> Counted:
    """:param values: of all workers together. :param bounds: histogram -> upper bounds of its buckets."""
    requests = _labels(values, names.METRIC_REQUESTS)
    by_outcome: dict[str, int] = {}
    for (_, outcome), count in requests.items():
        by_outcome[outcome] = by_outcome.get(outcome, 0) + count
    queued = values.gauges.get(names.METRIC_QUEUED, {})
    return Counted(
        requests=sum(requests.values()),
        errors=_errors(by_outcome),
        queued=int(sum(queued.values())),
        latency=latency_of(values.histograms, bounds),
        tokens=_tokens(values, None),
        outcomes=_most_first(by_outcome),
        error_responses=_most_first(_joined(values, names.METRIC_ERRORS)),
        routes=tuple(sorted(_routes(values, bounds), key=lambda one: (-one.requests, one.route))),
        attempts=_most_first(_joined(values, names.METRIC_ATTEMPTS)),
    )


def _routes(values: MetricValues, bounds: Mapping[str, Sequence[float]]) -> Iterator[RouteCounts]:
    outcomes: dict[str, dict[str, int]] = {}
    for (route, outcome), count in _labels(values, names.METRIC_REQUESTS).items():
        outcomes.setdefault(route, {})[outcome] = count
    for route, by_outcome in outcomes.items():
        yield RouteCounts(
            route=route,
            requests=sum(by_outcome.values()),
            errors=_errors(by_outcome),
            request=_times(values, bounds, names.METRIC_DURATION, route),
            first_content=_times(values, bounds, names.METRIC_TIME_TO_FIRST_TOKEN, route),
            tokens=_tokens(values, route),
        )


def _times(values: MetricValues, bounds: Mapping[str, Sequence[float]], name: str, route: str) -> Times | None:
    observed = values.histograms.get(name, {}).get(route)
    return None if observed is None else times_of([observed], bounds[name])


def _tokens(values: MetricValues, route: str | None) -> TokenSums:
    """:param route: None for all."""
    sums = dict.fromkeys(TokenSums.__struct_fields__, 0)
    for (name, type), count in _labels(values, names.METRIC_TOKENS).items():
        if type in sums and route in (None, name):
            sums[type] += count
    return TokenSums(**sums)


def _errors(by_outcome: Mapping[str, int]) -> int:
    return sum(count for outcome, count in by_outcome.items() if outcome not in _NO_ERRORS)


def _labels(values: MetricValues, name: str) -> dict[tuple[str, ...], int]:
    return {labels: int(count) for labels, count in values.counters.get(name, {}).items()}


def _joined(values: MetricValues, name: str) -> dict[str, int]:
    return {" ".join(labels): count for labels, count in _labels(values, name).items()}


def _most_first(counts: Mapping[str, int]) -> tuple[Labelled, ...]:
    chosen = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return tuple(Labelled(name=name, count=count) for name, count in chosen if count)
