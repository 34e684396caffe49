"""Which requests are traced: the samplers of OpenTelemetry's standard variables, as one pure decision."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from modelmux.telemetry.trace_context import TraceContext

_PARENT_BASED: Final = "parentbased_"
#: Value of ``OTEL_TRACES_SAMPLER`` -> the ratio that it stands for; None if it takes one.
SAMPLERS: Final[dict[str, float | None]] = {
    "always_on": 1.0,
    "always_off": 0.0,
    "traceidratio": None,
    "parentbased_always_on": 1.0,
    "parentbased_always_off": 0.0,
    "parentbased_traceidratio": None,
}
DEFAULT_SAMPLER: Final = "parentbased_traceidratio"
DEFAULT_RATIO: Final = 0.1
_DIGITS: Final = 16


class Sampler(Struct, frozen=True):
    """
    :param ratio: of the traces that begin here, from 0 to 1.
    :param follows_parent: a trace that a client has begun is sampled if the client samples it.
    """

    ratio: float
    follows_parent: bool

    def is_sampled(self, trace_id: str, parent: TraceContext | None) -> bool:
        """Whether a request is traced: the same for all of a trace, by the low 8 bytes of its id.

        :param trace_id: 32 hexadecimal digits.
        """
        if parent is not None and self.follows_parent:
            return parent.sampled
        return int(trace_id[-_DIGITS:], 16) < self.ratio * 16**_DIGITS


def sampler_of(name: str, argument: str) -> Sampler:
    """The sampler of ``OTEL_TRACES_SAMPLER`` and ``OTEL_TRACES_SAMPLER_ARG``; empty values stand for the defaults.

    :raises ValueError: with the variable, its value, and what is expected.
    """
    name = name or DEFAULT_SAMPLER
    if name not in SAMPLERS:
        raise ValueError(f"OTEL_TRACES_SAMPLER: {name!r} is none of {', '.join(SAMPLERS)}")
    ratio = SAMPLERS[name]
    if ratio is None:
        ratio = _ratio(argument)
    return Sampler(ratio, name.startswith(_PARENT_BASED))


def _ratio(text: str) -> float:
    if not text:
        return DEFAULT_RATIO
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1
    if not 0 <= ratio <= 1:
        raise ValueError(f"OTEL_TRACES_SAMPLER_ARG: {text!r} is not a number from 0 to 1")
    return ratio
