"""Questions about usage as the parameters of a URL ask them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Final, cast, get_args

from modelmux.accounts.fields import FieldError
from modelmux.accounts.periods import day_start, parse_instant, parse_period
from modelmux.accounts.usage_query import Bucket, UsageQuery

#: Buckets of one answer at most.
MOST_BUCKETS: Final = 1_000
#: Values of one filter, and dimensions of groups, at most.
_MOST_VALUES: Final = 100
_MOST_GROUPS: Final = 8
_SHOWN: Final = 100
_QUARTER: Final = 900_000_000
_HOUR: Final = 4 * _QUARTER
_DAY: Final = 24 * _HOUR
#: The shortest that a bucket usually is.
_LENGTHS: Final[dict[str, int]] = {"1h": _HOUR, "1d": _DAY, "1w": 7 * _DAY, "1mo": 28 * _DAY}
#: What is asked for without a start.
_DEFAULTS: Final = {"1h": "24h", "1d": "30d", "1w": "12w", "1mo": "365d", "all": "30d"}
#: 9999-01-01 in UTC: in any zone, it is a year that can be written.
_LAST_INSTANT: Final = 253_370_764_800_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TAG: Final = re.compile(r"tag:[a-z0-9_.-]{1,64}")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT: Final = "expected a day such as 2026-11-01, or a time such as 2026-11-01T00:00:00Z"

Params = Mapping[str, Sequence[str]]


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The values of each parameter; ``group_by[]`` is another name of ``group_by``."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name.removesuffix("[]"), []).append(value)
    return values


def read_usage_query(
    params: Params, dimensions: Sequence[str], now: int, default_zone: str, zone_of: Callable[[str], tzinfo]
) -> UsageQuery:
    """
    :param dimensions: by which usage may be grouped and filtered, besides tags.
    :param now: microseconds in UTC.
    :param default_zone: ``accounts.zone``.
    :param zone_of: raises ``ValueError`` for a zone that this machine lacks.
    :raises FieldError: a parameter that cannot be used.
    """
    check_names(params, ("start", "end", "bucket", "zone", "group_by", "tag", *dimensions))
    name = single(params, "zone") or default_zone
    try:
        zone = zone_of(name)
    except ValueError:
        raise FieldError(
            "zone", f"{name[:_SHOWN]!r} is not a time zone", "expected one such as Europe/Berlin"
        ) from None
    bucket = single(params, "bucket") or "1d"
    if bucket not in get_args(Bucket):
        raise FieldError("bucket", f"{bucket[:_SHOWN]!r} is not a bucket", f"expected {', '.join(get_args(Bucket))}")
    start, end = _period(params, bucket, now, zone)
    return UsageQuery(
        start=start,
        end=end,
        bucket=cast("Bucket", bucket),
        zone="UTC" if zone is UTC else name,
        group_by=_groups(params, dimensions),
        where=filters(params, dimensions),
    )


def check_names(params: Params, known: Sequence[str]) -> None:
    """:raises FieldError: a parameter that nothing looks at."""
    for name in params:
        if name not in known:
            raise FieldError(name[:_SHOWN], "there is no such parameter", f"expected some of {', '.join(known)}")


def single(params: Params, name: str) -> str | None:
    """The value of a parameter; None without one. :raises FieldError: it has several."""
    values = params.get(name, ())
    if len(values) > 1:
        raise FieldError(name, f"it has {len(values)} values", "expected one")
    return values[0].strip() or None if values else None


def instant(params: Params, name: str, zone: tzinfo) -> int | None:
    """Microseconds in UTC of a day or an instant; a day begins in the zone. :raises FieldError:"""
    text = single(params, name)
    if text is None:
        return None
    problem = f"{text[:_SHOWN]!r} is not a time"
    try:
        if _DATE.fullmatch(text):
            at = (day_start(date.fromisoformat(text), zone) - _EPOCH) // (_EPOCH.resolution)
        else:
            at = parse_instant(text.replace(" ", "+"))  # a plus that was not encoded
    except (ValueError, OverflowError):
        raise FieldError(name, problem, _INSTANT) from None
    if not 0 <= at <= _LAST_INSTANT:
        raise FieldError(name, problem, "expected one between 1970 and 9998")
    return at


def filters(params: Params, dimensions: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Dimension -> the values that count; ``tag=app=chat`` is that of the tag ``app``. :raises FieldError:"""
    where: dict[str, list[str]] = {}
    for name in (*dimensions, "tag"):
        for value in listed(params, name):
            dimension, wanted = name, value
            if name == "tag":
                tag, equals, wanted = value.partition("=")
                dimension = f"tag:{tag.strip()}"
                if not equals or not _TAG.fullmatch(dimension):
                    raise FieldError("tag", f"{value[:_SHOWN]!r} is not a tag", "expected one such as app=chat")
            where.setdefault(dimension, []).append(wanted)
    return tuple((name, tuple(values)) for name, values in where.items())


def listed(params: Params, name: str) -> list[str]:
    """The values of a parameter that may be repeated, and may have several with commas between them.

    :raises FieldError: none of them is a value, or there are too many.
    """
    values = [part.strip() for text in params.get(name, ()) for part in text.split(",") if part.strip()]
    if len(values) > _MOST_VALUES:
        raise FieldError(name, f"{len(values)} values", f"expected at most {_MOST_VALUES}")
    if name in params and not values:  # an empty one would open what it should limit
        raise FieldError(name, "it is empty", "leave it out, or give it a value")
    return values


def _period(params: Params, bucket: str, now: int, zone: tzinfo) -> tuple[int, int]:
    start, end = instant(params, "start", zone), instant(params, "end", zone)
    usual = parse_period(_DEFAULTS[bucket], now, zone)
    start = usual.start if start is None else start
    end = usual.end if end is None else end
    for name, at in (("start", start), ("end", end)):
        if at % _QUARTER:
            raise FieldError(name, "it is within a quarter of an hour", "expected the beginning of one")
    if end <= start:
        raise FieldError("end", "it is not after the start", "expected a later time: the end itself is not included")
    length = _LENGTHS.get(bucket)
    if length is not None and (end - start) // length > MOST_BUCKETS:
        problem = f"there would be more than {MOST_BUCKETS:,} buckets"
        raise FieldError("bucket", problem, "expected longer ones, or a shorter period")
    return start, end


def _groups(params: Params, dimensions: Sequence[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(listed(params, "group_by"))) if "group_by" in params else ()
    for name in names:
        if name not in dimensions and not _TAG.fullmatch(name):
            expected = f"expected some of {', '.join(dimensions)} and tag:NAME"
            raise FieldError("group_by", f"{name[:_SHOWN]!r} is not one", expected)
    if len(names) > _MOST_GROUPS:
        raise FieldError("group_by", f"{len(names)} names", f"expected at most {_MOST_GROUPS}")
    return names
