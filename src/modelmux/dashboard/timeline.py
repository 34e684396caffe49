"""What happened to a request, and when, as its page shows it."""

from __future__ import annotations

from collections.abc import Iterator

from modelmux.dashboard.page import Data

_MS = 1000


def timeline_of(request: Data, record: Data | None) -> list[Data]:
    """The steps in their order, in seconds since the request arrived.

    :param request: the row of the ledger. :param record: what ``modelmux trace`` knows of it, if that is kept.
    """
    if record is None:
        steps = list(_of_row(request))
    else:
        steps = sorted(_of_record(record), key=lambda step: float(step["seconds"]))
    return steps


def _of_row(request: Data) -> Iterator[Data]:
    yield _step(0.0, "arrived")
    if request["first_content_seconds"] is not None:
        yield _step(request["first_content_seconds"], "first content")
    yield _step(request["seconds"], "ended")


def _of_record(record: Data) -> Iterator[Data]:
    yield _step(0.0, "arrived")
    before = record["missing_attempts"]
    if before and record["attempts"]:
        yield _step(record["attempts"][0]["started_ms"] / _MS, f"{before} attempts before")
    for number, one in enumerate(record["attempts"], before + 1):
        retry = ", a retry" if one["retry"] else ""
        yield _step(one["started_ms"] / _MS, f"attempt {number}{retry}: called {one['deployment']}")
        if one["first_content_ms"] is not None:
            yield _step(one["first_content_ms"] / _MS, f"attempt {number}: first content")
        if one["ended_ms"] is not None:
            status = "no status" if one["status"] is None else f"status {one['status']}"
            reason = f", {one['stop_reason']}" if one["stop_reason"] else ""
            message = f": {one['message']}" if one["message"] else ""
            yield _step(one["ended_ms"] / _MS, f"attempt {number}: {one['result']}, {status}{reason}{message}")
    stopped = f"; no further attempt: {record['retry_stopped']}" if record["retry_stopped"] else ""
    yield _step(
        record["duration_ms"] / _MS, f"ended: {record['outcome'].replace('_', ' ')} {record['status']}{stopped}"
    )


def _step(seconds: float, what: str) -> Data:
    return {"seconds": seconds, "what": what}
