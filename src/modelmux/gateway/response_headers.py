"""The gateway's headers on responses of the data plane: the model and deployment that replied, and what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from email.utils import format_datetime

from modelmux.catalog import ModelCard, deprecation_day, lifecycle, retirement_day
from modelmux.claude.notices import Notice, header_value
from modelmux.routing.stream_mode import Mode
from modelmux.telemetry.records import AttemptRecord
from modelmux.wire.http import Headers


def early_headers(request_id: str, model: str | None, stream_mode: Mode) -> Headers:
    """Headers of a response that starts before the reply.

    :param model: the catalog's id of the model; None if there are several candidates.
    """
    headers = [(b"x-request-id", request_id.encode())]
    if model is not None:
        headers.append((b"x-modelmux-model", _ascii(model)))  # the body has the name that the client asked for
    if stream_mode != "standard":
        headers.append((b"x-modelmux-stream-mode", stream_mode.encode()))
    return headers


def reply_headers(
    attempts: Sequence[AttemptRecord], card: ModelCard, notices: Sequence[Notice], warning: str | None, today: date
) -> Headers:
    """Headers of a response with a reply.

    :param attempts: empty if the response needed no call.
    :param card: of the model that replied.
    :param warning: a sentence about the model's retirement.
    """
    headers = [(b"x-modelmux-deployment", _ascii(attempts[-1].deployment))] if attempts else []
    headers.append((b"x-modelmux-attempts", str(len(attempts)).encode()))
    if notices:
        headers.append((b"x-modelmux-notices", header_value(notices).encode()))
    if warning:  # every model that is not active has one
        headers.append((b"x-modelmux-warning", _ascii(" ".join(warning.split()))))
        headers += _lifecycle_headers(card, today)
    return headers


def _lifecycle_headers(card: ModelCard, today: date) -> Headers:
    """``deprecation`` (RFC 9745) and ``sunset`` (RFC 8594) of a model that is deprecated or retired."""
    if lifecycle(card, today) == "active":
        return []
    deprecated_on, retires_on = deprecation_day(card), retirement_day(card)
    assert deprecated_on is not None, "only a model with a date is not active"
    assert retires_on is not None
    return [
        (b"deprecation", f"@{int(_midnight(deprecated_on).timestamp())}".encode()),
        (b"sunset", format_datetime(_midnight(retires_on), usegmt=True).encode()),
    ]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")
