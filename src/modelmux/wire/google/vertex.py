"""Google's side of the wire: where a call goes, and the error shapes of Google's own front end.

URL rules: ``anthropic`` SDK, ``lib/vertex/_client.py``. Error shapes: ``google.rpc.Status`` as JSON, bare or inside
a one-element array (seen on streaming calls), and HTML from the load balancer.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from modelmux.wire.anthropic import ErrorBody

_MULTI_REGIONS: Final = frozenset({"us", "eu"})
_SUFFIXES: Final = (":rawPredict", ":streamRawPredict")


def host_for(location: str) -> str:
    """The Google API host of a location: ``global``, a multi-region (``us``, ``eu``) or a region."""
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def base_url(location: str) -> str:
    """``https://…`` of a location, without the API version."""
    return f"https://{host_for(location)}"


def model_path(project: str, location: str, publisher: str, model: str) -> str:
    """Resource path of a model, percent-encoded, without the verb. ``@`` stays: it separates a version."""
    return (
        f"/v1/projects/{quote(project, safe=':')}/locations/{quote(location, safe='')}"
        f"/publishers/{quote(publisher, safe='')}/models/{quote(model, safe='@')}"
    )


def strip_verb(url: str) -> str:
    """A resource URL without a trailing ``:rawPredict`` or ``:streamRawPredict``."""
    for suffix in _SUFFIXES:
        url = url.removesuffix(suffix)
    return url


def verb(*, stream: bool) -> str:
    return ":streamRawPredict" if stream else ":rawPredict"


class GoogleDetail(Struct):
    """One entry of ``details``; only what decisions need."""

    type: str = msgspec.field(name="@type", default="")
    reason: str | None = None
    retry_delay: str | None = msgspec.field(name="retryDelay", default=None)


class GoogleError(Struct):
    code: int = 0
    message: str = ""
    status: str = ""
    details: list[GoogleDetail] | None = None


class Fault(Struct, frozen=True):
    """An upstream error of any shape, brought to one.

    :param kind: Anthropic's ``error.type``, Google's ``status``, or ``""`` when the body was neither.
    :param message: the upstream's own sentence; empty when the body was not a known shape.
    """

    status: int
    kind: str = ""
    message: str = ""
    reason: str | None = None
    retry_delay: str | None = None
    request_id: str | None = None


class _Google(Struct):
    error: GoogleError


class _Sentence(Struct):
    message: str
    status: Any = None


class _Said(Struct):
    """An error of which only the sentence is as expected: the rest is for machines, and it is for people."""

    error: _Sentence


class _Anthropic(Struct):
    error: ErrorBody
    type: str
    request_id: str | None = None


T = TypeVar("T")

_google: Final = msgspec.json.Decoder[_Google | list[_Google]](_Google | list[_Google])
_said: Final = msgspec.json.Decoder[_Said | list[_Said]](_Said | list[_Said])
_anthropic: Final = msgspec.json.Decoder[_Anthropic | list[_Anthropic]](_Anthropic | list[_Anthropic])


def decode_fault(status: int, body: bytes) -> Fault:
    """Read an error reply: Anthropic's shape, Google's, either in a one-element array, or anything else."""
    anthropic = _first(_anthropic, body)
    if anthropic is not None:
        return Fault(status, anthropic.error.type, anthropic.error.message, request_id=anthropic.request_id)
    google = _first(_google, body)
    if google is None:
        said = _first(_said, body)
        if said is None:
            return Fault(status)
        return Fault(status, said.error.status if isinstance(said.error.status, str) else "", said.error.message)
    details = google.error.details or []
    return Fault(
        status,
        google.error.status,
        google.error.message,
        reason=next((d.reason for d in details if d.reason), None),
        retry_delay=next((d.retry_delay for d in details if d.retry_delay), None),
    )


def _first(decoder: msgspec.json.Decoder[T | list[T]], body: bytes) -> T | None:
    """The body as one T, bare or the first of an array; None when it is neither."""
    try:
        said = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(said, list):
        return said[0] if said else None
    return said
