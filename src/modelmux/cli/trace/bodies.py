"""What was captured of a request as lines for people: the begin of each body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from modelmux.cli.sanitize import one_line, strip_controls
from modelmux.store.captures.views import BodyView, CaptureView

#: Characters of a body that are shown.
_SHOWN: Final = 4_000


def bodies(view: CaptureView) -> Iterator[str]:
    """In the order in which they were sent."""
    yield from _body(f"client's request, POST {one_line(view.path)}", view.request)
    for name, value in view.headers.items():
        yield f"({name}: {one_line(value)})"
    for attempt in view.attempts:
        yield from _body(f"attempt {attempt.number}, request to the upstream", attempt.request)
        yield from _body(f"attempt {attempt.number}, reply", attempt.reply)
    yield from _body("client's response", view.response)


def _body(title: str, body: BodyView | None) -> Iterator[str]:
    yield ""
    if body is None:
        yield f"--- {title}: none"
        return
    missing = [
        *(["cut"] if body.is_cut else []),
        *([f"{body.files} {'file' if body.files == 1 else 'files'} left out"] if body.files else []),
    ]
    yield f"--- {title}, {body.bytes:,} bytes{''.join(f', {one}' for one in missing)}"
    if body.text is None:
        yield "(not UTF-8; --json prints it in base64)"
        return
    yield strip_controls(body.text[:_SHOWN]).rstrip("\n")
    if len(body.text) > _SHOWN:
        yield f"… {len(body.text) - _SHOWN:,} more characters; --json prints all"
