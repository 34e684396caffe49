"""Risk: a client chooses labels of metrics, or its tag is another one than that of its row."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.config.metrics_schema import MetricsConfig
from modelmux.dialects.base import Caller
from modelmux.telemetry.records import ExchangeRecord
from modelmux.telemetry.tag_labels import TagLabels, tag_labels


def labels() -> TagLabels:
    made = tag_labels(MetricsConfig(tag="app", tag_values=["chat", "batch"]))
    assert made is not None
    return made


def record(*headers: bytes, forced: tuple[tuple[str, str], ...] = (), metadata: Any = None) -> ExchangeRecord:
    return ExchangeRecord(
        "req_1", "openai_chat", "generate", "fast", [], False, "ok", 200, None, None, 0.1, None, 1, 1, [],
        headers=[(b"x-modelmux-tags", value) for value in headers], caller=Caller(tags=forced), metadata=metadata,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "label"),
    [
        (record(), "none"),
        (record(b"app=chat"), "chat"),
        (record(b"env=prod", b"x=1,app=batch"), "batch"),  # RFC 9110: several lines are one
        (record(b"app=Chat"), "_other"),
        (record(b"app=\xff\xfe"), "none"),  # not a tag
        (record(b"env=prod"), "none"),
        (record(metadata={"app": "batch"}), "batch"),
        (record(metadata={"app": 7}), "none"),
        (record(b"app=chat", metadata={"app": "batch"}), "chat"),
        (record(b"app=chat", forced=(("app", "batch"),)), "batch"),  # that of the key, whatever a client says
        (record(b"app=chat", forced=(("env", "prod"),)), "chat"),
    ],
)
def test_the_label_of_a_request(request_: ExchangeRecord, label: str) -> None:
    assert labels().of_record(request_) == label


def test_without_the_setting_nothing_is_looked_at() -> None:
    assert tag_labels(MetricsConfig()) is None
