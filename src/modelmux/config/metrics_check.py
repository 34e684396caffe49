"""``[metrics]`` beyond its types: labels have to be few, and known before any client comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from modelmux.accounts.attribution import is_tag, is_tag_name
from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.metrics_schema import MetricsConfig

#: Values that have a label.
MOST_VALUES: Final = 200
_HINT: Final = 'Write metrics.tag = "app" and metrics.tag_values = ["chat", "batch"].'
#: Longest value that is repeated in a message.
_MAX_SHOWN: Final = 100


def check_metrics(metrics: MetricsConfig) -> None:
    """:raises ConfigError: naming every value that cannot be used."""
    problems = list(_problems(metrics))
    if problems:
        raise ConfigError([str(problem) for problem in problems], hint=_HINT)


def _problems(metrics: MetricsConfig) -> Iterator[Problem]:
    if metrics.tag is None:
        if metrics.tag_values:
            yield Problem(("metrics", "tag_values"), "has no effect without metrics.tag")
        return
    if not is_tag_name(metrics.tag):
        message = f"{metrics.tag[:_MAX_SHOWN]!r} is not the name of a tag, which has up to 64 of a-z, 0-9, _, . and -"
        yield Problem(("metrics", "tag"), message)
        return
    if not metrics.tag_values:
        yield Problem(("metrics", "tag_values"), "it is empty, so that every value would have the label _other")
    if len(metrics.tag_values) > MOST_VALUES:
        yield Problem(("metrics", "tag_values"), f"there are more than {MOST_VALUES}")
    for index, value in enumerate(metrics.tag_values):
        if not is_tag(metrics.tag, value):
            message = f"{value[:_MAX_SHOWN]!r} is not the value of a tag, which is printable ASCII without spaces"
            yield Problem(("metrics", "tag_values", index), message)
