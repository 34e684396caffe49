"""Answering one model call, step by step: who asks, for what, is it legal, what is the answer, send it."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from modelmux.catalog import ModelCard, normalise
from modelmux.emulator import betas, binding, connection, directives, ids, prompt, refusals, stream, tokens
from modelmux.emulator.answer import reply_to
from modelmux.emulator.call import Call
from modelmux.emulator.check_turns import check_history_has_tools
from modelmux.emulator.exchange import JSON, Exchange
from modelmux.emulator.faults import BadDirective, Fault
from modelmux.emulator.misbehave import apply_early, send_unary
from modelmux.emulator.pace import Pace, Streamer, frames
from modelmux.emulator.refusals import Refused, invalid
from modelmux.emulator.reply import Reply
from modelmux.emulator.scenario import Meeting, meet
from modelmux.emulator.state import State
from modelmux.emulator.validate import check, check_count, check_lengths

_LOCATION: Final = re.compile(r"^(?:global|us|eu|[a-z]+-[a-z]+\d+)$")
_BEARER: Final = re.compile(r"^Bearer\s+(\S+)$", re.IGNORECASE)
_COUNT: Final = "count-tokens"
#: The one model that is closed to publishers without data sharing (anthropic-vertex.md 2, notes).
_NEEDS_DATA_SHARING: Final = frozenset({"claude-fable-5"})
_EVENT_STREAM: Final = (b"content-type", b"text/event-stream; charset=utf-8")

Target = dict[str, str]


async def serve_call(state: State, exchange: Exchange, target: Target) -> None:
    """Answer one ``:rawPredict`` or ``:streamRawPredict``; every outcome is a reply or a broken connection."""
    streaming = target["verb"] == "streamRawPredict"
    nonce = ids.nonce(state.settings.seed, exchange.number, exchange.body)
    try:
        _authenticate(state, exchange)
        await _answer(state, exchange, target, nonce)
    except BadDirective as wrong:
        await _refuse(exchange, invalid(f"emulator: {wrong}"), nonce, streaming)
    except Refused as refused:
        await _refuse(exchange, refused, nonce, streaming)


async def _answer(state: State, exchange: Exchange, target: Target, nonce: str) -> None:
    """Validate a call and send its reply.

    :raises Refused: the call is answered with an error, which the caller sends.
    :raises BadDirective: the prompt has a directive that cannot be read.
    """
    counting = target["model"] == _COUNT
    body = _decoded(exchange.body)
    model = str(body.get("model", "")) if counting else target["model"]
    said = prompt.read(body)
    fault = _fault(state, exchange, target, model, said, counting)
    streaming = target["verb"] == "streamRawPredict"
    request_id = ids.request_id(nonce)
    if fault is not None and await apply_early(exchange, fault, streaming=streaming, request_id=request_id):
        return
    call = _call(state, exchange, target, body, model)
    if counting:
        check_count(call)
        await exchange.reply(200, msgspec.json.encode({"input_tokens": tokens.of_request(body)}), _headers(nonce))
        return
    checked = _check(state, call)
    usage = state.cache.account(call, state.clock())
    check_lengths(call, usage.input + usage.cache_read + usage.cache_5m + usage.cache_1h)
    reply = reply_to(call, said, usage=usage, nonce=nonce, signer=state.signer, checked=checked, fault=fault)
    pace = _pace(state, fault)
    if call.streaming:
        await _send_stream(exchange, reply, pace, fault, nonce)
    else:
        await _send_unary(exchange, reply, pace, fault, nonce)


def _call(state: State, exchange: Exchange, target: Target, body: dict[str, Any], model: str) -> Call:
    """The parsed call.

    :raises Refused: no such model here, or a beta that is not known.
    """
    counting = target["model"] == _COUNT
    card = _card(state, target, model, counting)
    return Call(
        project=target["project"],
        location=target["location"],
        model=model,
        card=card,
        body=body,
        betas=betas.check(exchange.header(b"anthropic-beta"), body.get("anthropic_beta")),
        streaming=body.get("stream") is True,
        counting=counting,
    )


def _check(state: State, call: Call) -> binding.Checked:
    """Everything that is checked but lengths.

    :raises Refused: the request is not legal, or the quota is used up.
    """
    check(call)
    if state.settings.history_needs_tools:
        check_history_has_tools(call)
    checked = binding.check(call, state.signer, state.settings.prefix_check)
    if not state.within_quota(call.project, call.location, call.card):
        raise refusals.quota_exceeded(call.card.lineage or f"anthropic-{call.card.base}")
    return checked


async def _send_stream(exchange: Exchange, reply: Reply, pace: Pace, fault: Fault | None, nonce: str) -> None:
    await exchange.start(200, _stream_headers(nonce))
    if fault is None and not pace.per_token:
        data, exchange.sent_events = frames(stream.events_of(reply))
        await exchange.write(data, more=False)
        exchange.outcome = "client_gone" if exchange.client_gone else "complete"
        return
    await Streamer(exchange, pace, fault, ids.request_id(nonce)).run(stream.events_of(reply))


async def _send_unary(exchange: Exchange, reply: Reply, pace: Pace, fault: Fault | None, nonce: str) -> None:
    seconds = pace.first + reply.usage.output * pace.per_token
    if seconds and not await connection.sleep(exchange.connection, seconds):
        exchange.outcome = "client_gone"
        return
    if fault is not None and fault.error_after_event is not None:
        kind = fault.type or "overloaded_error"
        raise Refused(refusals.status_of(kind), kind, fault.message or refusals.message_of(kind))
    headers = _headers(nonce, reply.usage.input, reply.usage.output)
    await send_unary(exchange, msgspec.json.encode(reply.whole()), headers, fault)


def _authenticate(state: State, exchange: Exchange) -> None:
    """Google's front end: any bearer token will do, unless only issued ones are wanted."""
    found = _BEARER.match(exchange.header(b"authorization"))
    if found is None:
        raise refusals.unauthenticated("CREDENTIALS_MISSING")
    if state.settings.require_token and not state.tokens.valid(found[1], state.clock()):
        raise refusals.unauthenticated()


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise invalid(f"The request body is not valid JSON: {wrong}") from wrong
    if not isinstance(decoded, dict):
        raise invalid("Input should be a valid dictionary")
    return decoded


def _fault(
    state: State, exchange: Exchange, target: Target, model: str, said: prompt.Prompt, counting: bool
) -> Fault | None:
    """The fault in force for this request: the prompt's own, else the scenario's."""
    found = directives.find(said.raw)
    if found is not None:
        fault, key = found
        if not state.use_directive(key, fault.times):
            return None
        exchange.fault = key
        return fault
    meeting = Meeting(
        endpoint="count_tokens" if counting else "messages",
        project=target["project"],
        location=target["location"],
        model=model,
        stream=target["verb"] == "streamRawPredict",
        text=said.text,
    )
    met = meet(state, meeting)
    if met is None:
        return None
    exchange.fault = met[1]
    return met[0]


def _card(state: State, target: Target, model: str, counting: bool) -> ModelCard:
    """The card of the model, if it exists and is served here.

    :raises Refused: 404 or 403, in Google's words.
    """
    project, location, publisher = target["project"], target["location"], target["publisher"]
    not_found = refusals.model_not_found(project, location, publisher, model)
    if publisher != "anthropic" or not _LOCATION.match(location):
        raise not_found
    if state.settings.projects is not None and project not in state.settings.projects:
        raise refusals.permission_denied(project, location, target["model"])
    card = state.catalog.find(model)
    if counting:
        # Counting takes names without a version (anthropic-vertex.md 1.1).
        if card is None or "@" in model:
            raise Refused(404, "not_found_error", f"model: {model}")
        return card
    exact = card is not None and model in (card.id, f"{card.base}@default" if "@" not in card.id else card.id)
    if card is None or not exact or normalise(model) != card.id or not card.served_in(location):
        raise not_found
    if card.id in _NEEDS_DATA_SHARING and not state.settings.data_sharing:
        raise refusals.data_sharing_needed()
    return card


def _pace(state: State, fault: Fault | None) -> Pace:
    settings = state.settings
    rate = settings.tokens_per_second
    if fault is not None and fault.tokens_per_second is not None:
        rate = fault.tokens_per_second
    first = settings.first_token_delay if rate else 0.0
    if fault is not None and fault.first_token_delay:
        first = fault.first_token_delay
    return Pace(per_token=1.0 / rate if rate > 0 else 0.0, first=first, ping=settings.ping_interval)


def _stream_headers(nonce: str) -> list[tuple[bytes, bytes]]:
    return [
        _EVENT_STREAM,
        (b"cache-control", b"no-cache"),
        (b"request-id", ids.request_id(nonce).encode()),
        (b"vary", b"Origin,Accept-Encoding"),
        (b"x-vertex-ai-received-request-id", ids.received_id(nonce).encode()),
    ]


def _headers(
    nonce: str, input_tokens: int | None = None, output_tokens: int | None = None
) -> list[tuple[bytes, bytes]]:
    headers = [
        JSON,
        (b"request-id", ids.request_id(nonce).encode()),
        (b"vary", b"Origin, X-Origin, Referer"),
        (b"x-vertex-ai-internal-prediction-backend", b"harpoon"),
    ]
    if input_tokens is not None:
        headers.append((b"internal-input-tokens", b"%d" % input_tokens))
        headers.append((b"internal-output-tokens", b"%d" % (output_tokens or 0)))
    return headers


async def _refuse(exchange: Exchange, refused: Refused, nonce: str, streaming: bool) -> None:
    request_id = ids.request_id(nonce)
    body = refused.body(request_id, streaming=streaming)
    if refused.google:
        await exchange.reply(refused.status, body, ((b"content-type", b"application/json; charset=UTF-8"),))
    else:
        await exchange.reply(refused.status, body, (JSON, (b"request-id", request_id.encode())))
    exchange.outcome = "refused"
