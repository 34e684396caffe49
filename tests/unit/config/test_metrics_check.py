"""Risk: a label of metrics without bounds, or one that shows nothing because of a slip."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.config.metrics_check import check_metrics


def check(**metrics: Any) -> None:
    check_metrics(Config.from_dict({"metrics": metrics}).metrics)


def test_what_can_be_used() -> None:
    check()
    check(tag="app", tag_values=["chat", "batch/2"])


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ({"tag_values": ["chat"]}, "metrics.tag_values: has no effect without metrics.tag"),
        ({"tag": "app"}, "metrics.tag_values: it is empty"),
        ({"tag": "My App", "tag_values": ["chat"]}, "metrics.tag: 'My App' is not the name of a tag"),
        ({"tag": "app", "tag_values": ["chat", "a b"]}, r"metrics.tag_values\[1\]: 'a b' is not the value of a tag"),
        ({"tag": "app", "tag_values": ["v"] * 201}, "metrics.tag_values: there are more than 200"),
    ],
)
def test_what_cannot(metrics: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        check(**metrics)
