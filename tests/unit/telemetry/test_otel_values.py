"""Risk: a misspelled variable of OpenTelemetry is passed over, so that nothing arrives, or ends the process when it
serves already; a secret in a header is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelmux.telemetry.otel_values import check_batches, check_otlp

OTLP = "OTEL_EXPORTER_OTLP_"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ENDPOINT", "collector:4318", "it is not a URL such as http://localhost:4318"),
        ("ENDPOINT", "grpc://collector:4317", "it is not a URL"),
        ("ENDPOINT", "http://collector:port", "it is not a URL"),
        ("TRACES_ENDPOINT", "http:///v1/traces", "it is not a URL"),
        ("HEADERS", "authorization: Bearer s3cret", "header 1 is not name=value"),
        ("HEADERS", "a=b,authorization", "header 2 is not name=value"),
        ("TRACES_HEADERS", 'a="b"', "header 1 is not name=value"),
        ("TIMEOUT", "10s", "'10s' is not a number of seconds above 0"),
        ("TRACES_TIMEOUT", "0", "'0' is not a number of seconds above 0"),
        ("TIMEOUT", "inf", "'inf' is not a number of seconds above 0"),
        ("COMPRESSION", "snappy", "'snappy' is none of none, gzip, deflate"),
        ("CERTIFICATE", "/nowhere/ca.pem", "'/nowhere/ca.pem' is not a file that can be read"),
        ("TRACES_CLIENT_KEY", "/nowhere/key.pem", "'/nowhere/key.pem' is not a file that can be read"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{OTLP}{name}: {problem}") as caught:
        check_otlp({OTLP + name: value}, "TRACES")
    assert "s3cret" not in str(caught.value)


def test_values_that_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("x")
    used = {
        "ENDPOINT": "https://collector.example:4318/base/", "HEADERS": "authorization=Bearer s3cret==, x-a = b,, c=",
        "TIMEOUT": "2.5", "COMPRESSION": "GZIP", "CERTIFICATE": str(file), "METRICS_TIMEOUT": "",
    }  # fmt: skip
    check_otlp({OTLP + name: value for name, value in used.items()}, "METRICS")
    check_otlp({}, "TRACES")
    check_otlp({f"{OTLP}METRICS_TIMEOUT": "soon"}, "TRACES")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SCHEDULE_DELAY", "soon", "'soon' is not a number above 0"),
        ("EXPORT_TIMEOUT", "0", "'0' is not a number above 0"),
        ("MAX_EXPORT_BATCH_SIZE", "-1", "'-1' is not a number above 0"),
        ("MAX_EXPORT_BATCH_SIZE", "513", "'513' is more than 512"),
    ],
)
def test_batches_that_cannot_be_used(name: str, value: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^OTEL_BSP_{name}: {problem}"):
        check_batches({f"OTEL_BSP_{name}": value}, 512)


def test_batches_that_can_be_used() -> None:
    check_batches({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "512", "OTEL_BSP_SCHEDULE_DELAY": " 100 "}, 512)
