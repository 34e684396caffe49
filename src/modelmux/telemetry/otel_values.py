"""Values of the standard variables of OpenTelemetry that its SDK would pass over, or fail of when it is too late: they
are checked before anything is served."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from modelmux.telemetry.otel_environment import Signal, first_set

_COMPRESSIONS: Final = ("none", "gzip", "deflate")
#: As the SDK reads a header. What it cannot read, it prints, and that may be a secret.
_HEADER: Final = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+[ \t]*=[ !#-+\--:<-\[\]-~\t]*")
_FILES: Final = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
_BATCH_SIZE: Final = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_BATCHES: Final = ("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", _BATCH_SIZE)


def check_otlp(environment: Mapping[str, str], signal: Signal) -> None:
    """:raises ValueError: a variable of the exporter has a value that cannot be used. Addresses and headers are not
    repeated: they may have secrets in them."""
    for suffix, problem_of in _CHECKS.items():
        name, value = first_set(environment, signal, suffix)
        problem = problem_of(value) if value else None
        if problem is not None:
            raise ValueError(f"{name}: {problem}")


def check_batches(environment: Mapping[str, str], queue: int) -> None:
    """:param queue: spans that a batch has at most. :raises ValueError: a variable of the batches cannot be used."""
    for name in _BATCHES:
        value = environment.get(name, "").strip()
        if value and not (value.isascii() and value.isdecimal() and int(value)):
            raise ValueError(f"{name}: {value[:40]!r} is not a number above 0")
        if name == _BATCH_SIZE and value and int(value) > queue:
            raise ValueError(f"{name}: {value[:40]!r} is more than {queue}, the spans that wait at most")


def _of_url(value: str) -> str | None:
    try:
        url = urlsplit(value)
        is_good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    return None if is_good else "it is not a URL such as http://localhost:4318"


def _of_headers(value: str) -> str | None:
    for number, header in enumerate(value.split(","), start=1):
        if header.strip() and not _HEADER.fullmatch(header.strip()):
            return f"header {number} is not name=value, or has characters that have to be written as %2C is for a comma"
    return None


def _of_seconds(value: str) -> str | None:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    return None if 0 < seconds < math.inf else f"{value[:40]!r} is not a number of seconds above 0"


def _of_compression(value: str) -> str | None:
    return None if value.lower() in _COMPRESSIONS else f"{value[:40]!r} is none of {', '.join(_COMPRESSIONS)}"


def _of_file(value: str) -> str | None:
    return None if Path(value).is_file() and os.access(value, os.R_OK) else f"{value!r} is not a file that can be read"


_CHECKS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "ENDPOINT": _of_url, "HEADERS": _of_headers, "TIMEOUT": _of_seconds, "COMPRESSION": _of_compression,
} | dict.fromkeys(_FILES, _of_file)  # fmt: skip
