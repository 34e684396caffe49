"""The record of one request that is over, as ``modelmux trace`` shows it. It has no text of a prompt or of a reply, no
secret and no header. Times are in milliseconds from the arrival of the request on.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from modelmux.claude.prompt_digests import PromptDigests

#: Bytes of a record, its digests included.
MOST_BYTES: Final = 4_000
#: Attempts and notices that are left of a record that would be larger.
_FEWEST: Final = 4
#: How an id of a record begins, and digits that a number may have.
_RECORD: Final = "rec_"
_MOST_DIGITS: Final = 18


class Tokens(Struct, frozen=True, omit_defaults=True):
    """As the upstream reported them; ``input`` does not count what the cache read and wrote."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0


class TracedAttempt(Struct, frozen=True, omit_defaults=True):
    """
    :param result: ``ok``, the kind of the error, or the outcome of the request that it ended with.
    :param message: of the error, as the log has it.
    :param first_content_ms: when the client got it.
    :param stop_reason: of the reply.
    """

    deployment: str
    model: str
    started_ms: float
    ended_ms: float | None = None
    location: str | None = None
    retry: bool = False
    status: int | None = None
    result: str = "ok"
    message: str | None = None
    first_content_ms: float | None = None
    tokens: Tokens | None = None
    stop_reason: str | None = None
    upstream_request_id: str | None = None


class TracedNotice(Struct, frozen=True, omit_defaults=True):
    """A change that the gateway made. A field that may have a name of the client's own is left out."""

    action: str
    field: str | None
    reason: str


class TracedRequest(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """
    :param at: microseconds in UTC, when it arrived.
    :param request_id: of the response header and the log line; the client's own if it has sent one.
    :param row_id: of its row in the ledger, as text. :param message_id: of the reply, as the upstream calls it.
    :param key: id of the key that it was sent with.
    :param outcome, code, retry_stopped: as in the log line.
    :param cost: USD as a decimal; None if it is unknown.
    :param missing_attempts: attempts that the record had no room for, before the ones that it has.
    :param missing_notices: the same for notices, after the ones that it has.
    :param is_captured: its bodies were kept at first.
    """

    at: int
    request_id: str
    row_id: str | None = None
    message_id: str | None = None
    upstream_request_id: str | None = None
    trace_id: str | None = None
    key: str | None = None
    dialect: str
    operation: str
    requested: str | None = None
    route: str | None = None
    stream: bool = False
    outcome: str
    status: int
    code: str | None = None
    message: str | None = None
    retry_stopped: str | None = None
    duration_ms: float
    first_content_ms: float | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    tokens: Tokens | None = None
    stop_reason: str | None = None
    cost: str | None = None
    attempts: tuple[TracedAttempt, ...] = ()
    notices: tuple[TracedNotice, ...] = ()
    missing_attempts: int = 0
    missing_notices: int = 0
    is_captured: bool = False


def plain_record(value: Any) -> Any:
    """A record as plain values, with the fields that have their usual value, which are left out where it is stored."""
    if isinstance(value, Struct):
        return {name: plain_record(getattr(value, name)) for name in value.__struct_fields__}
    return [plain_record(item) for item in value] if isinstance(value, tuple) else value


class Trace(Struct, frozen=True):
    """
    :param conversation: what the turns of a conversation have in common; None if that is not known.
    :param prompt: None for requests that have none.
    """

    request: TracedRequest
    conversation: bytes | None = None
    prompt: PromptDigests | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """All that it can be found by."""
        request = self.request
        named = (request.request_id, request.row_id, request.message_id, request.upstream_request_id, request.trace_id)
        return tuple(id for id in named if id)

    @property
    def wrote_cache(self) -> bool:
        """Whether its prompt was read by a model, and so may be in the cache."""
        return self.prompt is not None and self.request.tokens is not None


def record_id(number: int) -> str:
    """An id of one record of a machine, whatever ids clients have chosen. :param number: in its file."""
    return f"{_RECORD}{number}"


def record_number(id: str) -> int | None:
    """The number in such an id; None if it is another."""
    digits = id.removeprefix(_RECORD)
    is_one = id.startswith(_RECORD) and digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
    return int(digits) if is_one else None


#: :raises msgspec.DecodeError:
decode_request: Final = msgspec.json.Decoder(TracedRequest).decode
_decode_prompt: Final = msgspec.msgpack.Decoder(PromptDigests).decode
_encode: Final = msgspec.json.Encoder().encode


def encode_trace(trace: Trace) -> tuple[bytes, bytes | None]:
    """Request and prompt, together no more than ``MOST_BYTES``; what does not fit is left out and counted."""
    prompt = None if trace.prompt is None else msgspec.msgpack.encode(trace.prompt)
    room = MOST_BYTES - len(prompt or b"")
    request = trace.request
    text = _encode(request)
    if len(text) > room and len(request.notices) > _FEWEST:
        more = request.missing_notices + len(request.notices) - _FEWEST
        request = replace(request, notices=request.notices[:_FEWEST], missing_notices=more)
        text = _encode(request)
    if len(text) > room and len(request.attempts) > _FEWEST:
        more = request.missing_attempts + len(request.attempts) - _FEWEST
        request = replace(request, attempts=request.attempts[-_FEWEST:], missing_attempts=more)
        text = _encode(request)
    return (text, prompt) if len(text) <= room else (_encode(_smallest(request)), None)


def decode_trace(conversation: bytes | None, text: bytes, prompt: bytes | None) -> Trace:
    """:raises msgspec.DecodeError: it is not what ``encode_trace`` returned."""
    return Trace(decode_request(text), conversation, None if prompt is None else _decode_prompt(prompt))


def _smallest(request: TracedRequest) -> TracedRequest:
    """What is left where names are very long."""
    return replace(
        request,
        attempts=request.attempts[-1:],
        missing_attempts=request.missing_attempts + max(0, len(request.attempts) - 1),
        notices=(),
        missing_notices=request.missing_notices + len(request.notices),
    )
