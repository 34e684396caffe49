"""``/requests/{id}/trace`` and ``/bodies``: the record of a request on this machine, and what was captured of it.

A row of the ledger stays for a year; its record and its bodies for days, and only where requests were served.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

from msgspec import Struct

from modelmux.accounts.entry import Entry
from modelmux.accounts.uuid7 import format_id
from modelmux.admin.errors import no_record
from modelmux.admin.operation import Call, Operation, Reply
from modelmux.admin.requests import request_at
from modelmux.store.captures.record import Capture
from modelmux.store.captures.views import CaptureView, capture_view
from modelmux.store.file_kinds import has_sqlite
from modelmux.store.traces.prompt_cache import as_json
from modelmux.store.traces.record import Trace, plain_record

Bodies = Literal["kept", "gone", "none"]


class TraceView(Struct, frozen=True, kw_only=True):
    """What is known of a request beside its row.

    :param request: as ``modelmux trace --json`` has it; times are in milliseconds since the request arrived. Null where
        no record is kept any more.
    :param prompt: where the prompt stopped being that of the turn before; null for a request without one.
    :param bodies: whether they are ``kept``, are ``gone``, or were not captured (``none``).
    """

    request: dict[str, Any] | None
    prompt: dict[str, Any] | None
    bodies: Bodies


async def read_trace(call: Call) -> Reply:
    entry = await _entry(call)
    capture = await asyncio.to_thread(_read_capture, call, entry)
    trace, previous = await asyncio.to_thread(_read_trace, call, entry)
    if trace is None and capture is not None:  # which is kept longer
        trace = Trace(capture.request)
    if trace is None:
        return Reply(TraceView(request=None, prompt=None, bodies="none"))
    captured: Bodies = "gone" if trace.request.is_captured else "none"
    return Reply(TraceView(
        request=plain_record(trace.request), prompt=as_json(trace, previous),
        bodies=captured if capture is None else "kept",
    ))  # fmt: skip


async def read_bodies(call: Call) -> Reply:
    """Whoever reads bodies of others leaves a row in the audit log first."""
    entry = await _entry(call)
    capture = await asyncio.to_thread(_read_capture, call, entry)
    if capture is None:
        raise no_record("captured request", format_id(entry.id))
    if not _is_own(call, entry):
        id = format_id(entry.id)
        shown = {id: {"key": entry.key, "person": entry.person, "request_id": capture.request.request_id}}
        await call.backend.directory.note(call.author, call.now, "bodies.read", id, shown)
    return Reply(capture_view(capture))


async def _entry(call: Call) -> Entry:
    """The row that the path names. :raises NoSuchRecord: the principal may not see it."""
    (entry,) = await call.backend.ledger.by_id([await request_at(call, await call.read())])
    return entry


def _is_own(call: Call, entry: Entry) -> bool:
    """Whether a request was sent with a key of the principal."""
    principal = call.principal
    if principal.person is not None and entry.person == principal.person:
        return True
    return principal.key is not None and entry.key == principal.key


def _read_trace(call: Call, entry: Entry) -> tuple[Trace | None, Trace | None]:
    """The record of a row, and the turn before it. :raises StoreFailed:"""
    directory = call.backend.state_directory
    if directory is None or not has_sqlite():
        return None, None
    from modelmux.store.traces.reader import read_traces  # a Python may have been built without SQLite

    found = read_traces(directory, format_id(entry.id), 1, call.now, is_row=True)
    return (found.traces[0] if found.traces else None), found.previous


def _read_capture(call: Call, entry: Entry) -> Capture | None:
    """:raises StoreFailed:"""
    directory = call.backend.state_directory
    if directory is None or not has_sqlite():
        return None
    from modelmux.store.captures.reader import read_capture

    days = call.backend.config.capture.days
    return read_capture(directory, format_id(entry.id), days, call.now, is_row=True)


OPERATIONS: Final = (
    Operation(
        "GET", "/requests/{id}/trace", "Explain a request: attempts with times, notices, prompt cache", "requests.read",
        TraceView, read_trace,
    ),
    Operation(
        "GET", "/requests/{id}/bodies", "Read the captured bodies of a request; of others, with a row in the audit log",
        "bodies.read", CaptureView, read_bodies,
    ),
)  # fmt: skip
