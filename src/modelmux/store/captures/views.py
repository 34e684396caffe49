"""What was captured of a request, as the command line and the admin API show it."""

from __future__ import annotations

import base64

from msgspec import Struct

from modelmux.store.captures.record import Capture, StoredBody


class BodyView(Struct, frozen=True, kw_only=True):
    """A body.

    :param bytes: as it was sent. :param is_cut: what is beyond ``capture.max_body_bytes`` is missing.
    :param files: images and documents of which type and size are left.
    :param text: null where it is not UTF-8; then ``base64`` has it.
    """

    bytes: int
    is_cut: bool
    files: int
    text: str | None
    base64: str | None = None


class AttemptBodiesView(Struct, frozen=True, kw_only=True):
    """An attempt, by its number from 1 on: the request in the upstream's dialect and the reply."""

    number: int
    request: BodyView
    reply: BodyView | None


class CaptureView(Struct, frozen=True, kw_only=True):
    """All bodies of a request.

    :param path: that it was sent to. :param headers: those that change what the body means.
    :param request: as the client sent it; null if it was not read. :param response: as the client got it.
    """

    path: str
    headers: dict[str, str]
    request: BodyView | None
    response: BodyView
    attempts: list[AttemptBodiesView]


def capture_view(capture: Capture) -> CaptureView:
    """All of it; a body that was cut inside of a character ends with the replacement character."""
    contents = capture.contents
    return CaptureView(
        path=contents.path,
        headers=dict(contents.headers),
        request=_body_or_none(capture, contents.request),
        response=_body(capture, contents.response),
        attempts=[
            AttemptBodiesView(
                number=one.number, request=_body(capture, one.request), reply=_body_or_none(capture, one.reply)
            )
            for one in contents.attempts
        ],
    )


def _body_or_none(capture: Capture, stored: StoredBody | None) -> BodyView | None:
    return None if stored is None else _body(capture, stored)


def _body(capture: Capture, stored: StoredBody) -> BodyView:
    data = capture.body(stored)
    text = _text(data, is_cut=stored.is_cut)
    encoded = None if text is not None else base64.b64encode(data).decode()
    return BodyView(bytes=stored.size, is_cut=stored.is_cut, files=stored.files, text=text, base64=encoded)


def _text(data: bytes, *, is_cut: bool) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if is_cut and error.start >= len(data) - 3:  # the cut is inside of a character
            return data.decode("utf-8", "replace")
        return None
