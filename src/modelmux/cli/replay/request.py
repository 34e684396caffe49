"""A captured request -> what is sent again, or why it cannot be. No I/O."""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from modelmux.store.captures.record import Capture
from modelmux.wire.http import Headers
from modelmux.wire.json_edit import DuplicateKey, edit

_JSON: Final = (b"content-type", b"application/json")
#: Of Vertex AI's paths, which have the model.
_MODEL: Final = re.compile(r"(?<=/publishers/anthropic/models/)[^/:]+(?=:)")
_AGAIN: Final = "; it holds for requests from then on, so send it once more with its client"


class CannotReplay(Exception):
    """Why a request cannot be sent again, and what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class ReplayedRequest(Struct, frozen=True):
    """:param headers: without the key."""

    path: str
    headers: Headers
    body: bytes


def replayed(capture: Capture, model: str | None) -> ReplayedRequest:
    """The client's request as it was, but for the model.

    :param model: to ask for in place of the client's; None for the same.
    :raises CannotReplay:
    """
    path, stored = capture.contents.path, capture.contents.request
    if stored is None:
        raise CannotReplay("its body was never read, so nothing can be sent again", "Look at its outcome in the trace.")
    body = capture.body(stored)
    if stored.is_cut:
        problem = f"its body of {stored.size:,} bytes was too large, and only {len(body):,} bytes of it were captured"
        raise CannotReplay(problem, f"Raise capture.max_body_bytes{_AGAIN}.")
    if stored.files:
        files = "an image or document was" if stored.files == 1 else f"{stored.files} images or documents were"
        raise CannotReplay(f"{files} left out of its body", f"Set capture.files = true{_AGAIN}.")
    if model is not None:
        path, body = _with_model(path, body, model)
    headers = [(name.encode(), value.encode("latin-1")) for name, value in capture.contents.headers.items()]
    return ReplayedRequest(path, [_JSON, *headers], body)


def _with_model(path: str, body: bytes, model: str) -> tuple[str, bytes]:
    if _MODEL.search(path):
        return _MODEL.sub(lambda _: quote(model, safe="@"), path, count=1), body
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        return path, edit(body, {("model",): json.dumps(model).encode()})
    except (msgspec.DecodeError, DuplicateKey):
        problem = "its body is not a JSON object that names each key once, so its model cannot be changed"
        raise CannotReplay(problem, "Leave --model out to send it as it was.") from None
