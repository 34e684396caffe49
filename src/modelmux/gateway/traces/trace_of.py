"""The record of a request that is over -> what is kept of it for ``modelmux trace``. One function, whatever the
dialect. No text of a client's own is longer here than in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from modelmux.accounts.entry import KEYLESS
from modelmux.accounts.uuid7 import format_id
from modelmux.claude.notices import LoneSurrogate, Notice, UnknownField
from modelmux.claude.prompt_digests import PromptDigests, conversation_digest, digests_of
from modelmux.routing.affinity import session_of
from modelmux.store.traces.record import Tokens, Trace, TracedAttempt, TracedNotice, TracedRequest
from modelmux.telemetry.loggable import loggable_word
from modelmux.telemetry.observers import result_label
from modelmux.telemetry.records import AttemptRecord, ExchangeRecord
from modelmux.wire.anthropic import Usage

#: Characters of a name, of a field of a notice, and of a message.
_NAME: Final = 128
_FIELD: Final = 80
_MESSAGE: Final = 200
_MOST_NOTICES: Final = 24
_MICRO: Final = 1_000_000


class TraceRules(Struct, frozen=True, kw_only=True):
    """What a record depends on beside the request.

    :param secret: of this gateway, for the digests of prompts.
    :param keys: owner of a caller, see ``Caller`` -> id of the key, where the owner is not the id.
    :param cost_of: what attempts cost together, in USD as a decimal; None if it is unknown.
    :param redact: removes secrets from what clients chose.
    """

    secret: bytes
    keys: Mapping[str, str]
    cost_of: Callable[[Sequence[AttemptRecord], int], str | None]
    redact: Callable[[str], str]


class Ended(Struct, frozen=True):
    """A request that is over.

    :param clock, now: when it ended, in monotonic and Unix seconds.
    :param body: of the last call; None if there was none.
    :param session: what the client's body calls the conversation.
    :param is_captured: its bodies are kept.
    """

    record: ExchangeRecord
    clock: float
    now: float
    body: bytes | None
    session: str | None
    is_captured: bool = False


def trace_of(ended: Ended, rules: TraceRules) -> Trace:
    """Its record. Reads all of the body, so it is for another thread."""
    record = ended.record
    prompt: PromptDigests | None = None
    conversation: bytes | None = None
    if ended.body is not None and record.operation == "generate":
        prompt = digests_of(ended.body, rules.secret)
    if prompt is not None:
        session = session_of(ended.session, record.headers)
        conversation = conversation_digest(record.caller.owner, session, prompt, rules.secret)
    return Trace(request_of(ended, rules), conversation, prompt)


def request_of(ended: Ended, rules: TraceRules) -> TracedRequest:
    """Its record without what is known of its prompt."""
    record, begin = ended.record, ended.clock - ended.record.duration
    at = round((ended.now - record.duration) * _MICRO)
    last = record.attempts[-1] if record.attempts else None
    note = None if last is None else last.note
    owner, error = record.caller.owner, record.error
    requested = record.requested_model
    return TracedRequest(
        at=at,
        request_id=_short(rules.redact(record.request_id)),
        row_id=None if note is None else format_id(note.id),
        message_id=next((_short(one.message_id) for one in reversed(record.attempts) if one.message_id), None),
        upstream_request_id=_short_or_none(record.upstream_request_id),
        trace_id=record.trace_id,
        key=None if owner == KEYLESS else _short(rules.keys.get(owner, owner)),
        dialect=record.dialect,
        operation=record.operation,
        requested=None if requested is None else loggable_word(requested, rules.redact),
        route=_short_or_none(record.route),
        stream=record.stream,
        outcome=record.outcome,
        status=record.status,
        code=None if error is None else error.code or error.kind.name,
        message=None if error is None else _message(error.loggable_message),
        retry_stopped=record.stop_reason if error is not None else None,
        duration_ms=_ms(record.duration),
        first_content_ms=None if (first := record.time_to_first_token) is None else _ms(first),
        request_bytes=record.request_bytes,
        response_bytes=record.response_bytes,
        tokens=_tokens(record.usage),
        stop_reason=None if last is None else _short_or_none(last.stop_reason),
        cost=rules.cost_of(record.attempts, at) if record.attempts else None,
        attempts=tuple(_attempt(one, begin, record) for one in record.attempts),
        notices=tuple(_notice(one) for one in record.notices[:_MOST_NOTICES]),
        missing_notices=max(0, len(record.notices) - _MOST_NOTICES),
        is_captured=ended.is_captured,
    )


def _attempt(attempt: AttemptRecord, begin: float, record: ExchangeRecord) -> TracedAttempt:
    error, first, ended = attempt.error, attempt.first_content_at, attempt.ended_at
    if error is None and not attempt.is_complete and attempt is record.attempts[-1]:
        error = record.error  # it came after content, or from elsewhere
    return TracedAttempt(
        deployment=_short(attempt.deployment),
        model=_short(attempt.card.id),
        started_ms=_ms(attempt.started_at - begin),
        ended_ms=None if ended is None else _ms(ended - begin),
        location=attempt.location or None,
        retry=attempt.is_retry,
        status=attempt.status,
        result=result_label(error) if error is not None else "ok" if attempt.is_complete else record.outcome,
        message=None if error is None else _message(error.loggable_message),
        first_content_ms=None if first is None else _ms(first - begin),
        tokens=_tokens(attempt.usage) if len(record.attempts) > 1 else None,
        stop_reason=_short_or_none(attempt.stop_reason) if len(record.attempts) > 1 else None,
        upstream_request_id=_short_or_none(attempt.upstream_request_id) if len(record.attempts) > 1 else None,
    )


def _notice(notice: Notice) -> TracedNotice:
    is_own = isinstance(notice, UnknownField | LoneSurrogate)
    return TracedNotice(notice.action, None if is_own else notice.field[:_FIELD], notice.reason[:_MESSAGE])


def _tokens(usage: Usage | None) -> Tokens | None:
    if usage is None:
        return None
    return Tokens(
        usage.input_tokens or 0,
        usage.cache_read_input_tokens or 0,
        usage.cache_creation_input_tokens or 0,
        usage.output_tokens or 0,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _short(text: str) -> str:
    return text[:_NAME]


def _short_or_none(text: str | None) -> str | None:
    return _short(text) if text else None


def _message(text: str | None) -> str | None:
    return None if text is None else text[:_MESSAGE]
