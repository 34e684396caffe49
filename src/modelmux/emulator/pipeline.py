"""One model call, step by step: authenticate, parse, apply a fault, validate, write the reply, send it."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from modelmux.catalog import ModelCard, normalise
from modelmux.emulator import connection, errors, ids
from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.errors import ApiError, invalid_request
from modelmux.emulator.events import encode_stream
from modelmux.emulator.faults import directives
from modelmux.emulator.faults.matching import RequestFacts
from modelmux.emulator.faults.rules import BadDirective, FaultSpec
from modelmux.emulator.faults.stream import Pace, StreamSender
from modelmux.emulator.faults.unary import apply_before_reply, send_unary
from modelmux.emulator.http import JSON, HttpExchange
from modelmux.emulator.model import tokens
from modelmux.emulator.model.prompt import Prompt, read_prompt
from modelmux.emulator.model.reply import EmulatedReply
from modelmux.emulator.model.reply_events import reply_events
from modelmux.emulator.model.reply_writer import write_reply
from modelmux.emulator.model.signatures import SignatureCheck
from modelmux.emulator.model_facts import COUNT_LOCATIONS
from modelmux.emulator.state import EmulatorState
from modelmux.emulator.validation.betas import BetaPolicy, check_no_betas, enabled_betas, names_in
from modelmux.emulator.validation.limits import check_lengths
from modelmux.emulator.validation.refused_fields import check_refused_fields
from modelmux.emulator.validation.thinking import check_thinking_blocks
from modelmux.emulator.validation.tool_results import check_history_has_tools
from modelmux.emulator.validation.validate import validate_count, validate_request

_LOCATION: Final = re.compile(r"^(?:global|us|eu|[a-z]+-[a-z]+\d+)$")
_BEARER: Final = re.compile(r"^Bearer\s+(\S+)$", re.IGNORECASE)
_COUNT: Final = "count-tokens"
#: The one model that requires data sharing with the publisher (anthropic-vertex.md 2, notes).
_NEEDS_DATA_SHARING: Final = frozenset({"claude-fable-5"})
_EVENT_STREAM: Final = (b"content-type", b"text/event-stream; charset=utf-8")

#: Named groups of the URL: project, location, publisher, model, verb.
Target = dict[str, str]


async def serve_call(state: EmulatorState, exchange: HttpExchange, target: Target) -> None:
    """Serve one ``:rawPredict`` or ``:streamRawPredict``: a reply, an error, or a connection broken by a fault."""
    streaming = target["verb"] == "streamRawPredict"
    nonce = ids.nonce(state.settings.seed, exchange.number, exchange.body)
    try:
        _authenticate(state, exchange)
        await _serve(state, exchange, target, nonce)
    except BadDirective as error:
        await _send_error(exchange, invalid_request(f"emulator: {error}"), nonce, streaming)
    except ApiError as error:
        await _send_error(exchange, error, nonce, streaming)


async def _serve(state: EmulatorState, exchange: HttpExchange, target: Target, nonce: str) -> None:
    """Validate a call and send its reply.

    :raises ApiError: the call is answered with an error, which the caller sends.
    :raises BadDirective: the prompt has a directive that cannot be parsed.
    """
    counting = target["model"] == _COUNT
    body = _decode_body(exchange.body)
    model = str(body.get("model", "")) if counting else target["model"]
    prompt = read_prompt(body)
    fault = _find_fault(state, exchange, target, model, prompt, body)
    streaming = target["verb"] == "streamRawPredict"
    request_id = ids.request_id(nonce)
    if fault is not None and await apply_before_reply(exchange, fault, streaming=streaming, request_id=request_id):
        return
    call = _parse_call(state, exchange, target, body, model, fault)
    check_refused_fields(body, fault.field_names if fault is not None else ())
    if counting:
        await _serve_count(state, exchange, call, fault, nonce)
        return
    signature_check = _validate(state, call)
    usage = state.prompt_cache.account(call, state.clock())
    check_lengths(call, usage.input + usage.cache_read + usage.cache_5m + usage.cache_1h)
    reply = write_reply(
        call, prompt, usage=usage, nonce=nonce, signer=state.signer, signature_check=signature_check, fault=fault
    )
    pace = _pace(state, fault)
    state.bill.add(call, reply, state.clock())
    if call.streaming:
        await _send_stream(exchange, reply, pace, fault, nonce)
    else:
        await _send_unary(exchange, reply, pace, fault, nonce)
    state.bill.sent(reply, exchange)


async def _serve_count(
    state: EmulatorState, exchange: HttpExchange, call: EmulatedCall, fault: FaultSpec | None, nonce: str
) -> None:
    """Count the tokens of a prompt, as the usage of a reply to it would.

    :raises ApiError: the request is not valid, or the quota of token counting is exhausted.
    """
    if not state.settings.count_cache_control:
        check_refused_fields(call.body, ("cache_control",))
    validate_count(call)
    if not state.within_quota(call.project, call.location, _COUNT):
        raise errors.quota_exceeded(f"anthropic-{_COUNT}")
    count = tokens.of_request(call.body)
    document: dict[str, Any] = {"input_tokens": count}
    if call.body.get("context_management") is not None:
        document["context_management"] = {"original_input_tokens": count}
    await send_unary(exchange, msgspec.json.encode(document), _unary_headers(nonce), fault)


def _parse_call(
    state: EmulatorState,
    exchange: HttpExchange,
    target: Target,
    body: dict[str, Any],
    model: str,
    fault: FaultSpec | None,
) -> EmulatedCall:
    """The parsed call.

    :raises ApiError: the model is not served here, or a beta is refused.
    """
    counting = target["model"] == _COUNT
    card = _model_card(state, target, model, counting)
    header = exchange.header(b"anthropic-beta")
    betas: frozenset[str] = frozenset()
    if counting:
        check_no_betas(header)
    else:
        refused = state.settings.refused_betas + (fault.beta_patterns if fault is not None else ())
        policy = BetaPolicy(strict=state.settings.strict_betas, refused=refused)
        location = target["location"]
        betas = enabled_betas(header, body.get("anthropic_beta"), card=card, location=location, policy=policy)
    return EmulatedCall(
        project=target["project"],
        location=target["location"],
        model=model,
        card=card,
        body=body,
        betas=betas,
        streaming=body.get("stream") is True,
        counting=counting,
    )


def _validate(state: EmulatorState, call: EmulatedCall) -> SignatureCheck:
    """Run every check except those on lengths.

    :raises ApiError: the request is not valid, or the quota is exhausted.
    """
    validate_request(call)
    if state.settings.history_needs_tools:
        check_history_has_tools(call)
    signature_check = check_thinking_blocks(call, state.signer, state.settings.prefix_check)
    if not state.within_quota(call.project, call.location, call.card.id, call.quota_lineage):
        raise errors.quota_exceeded(call.quota_lineage or f"anthropic-{call.card.base}")
    return signature_check


async def _send_stream(
    exchange: HttpExchange, reply: EmulatedReply, pace: Pace, fault: FaultSpec | None, nonce: str
) -> None:
    await exchange.start(200, _stream_headers(nonce))
    if fault is None and not pace.per_token:
        data, exchange.sent_events = encode_stream(reply_events(reply))
        await exchange.write(data, more=False)
        exchange.outcome = "client_gone" if exchange.client_disconnected else "complete"
        return
    await StreamSender(exchange, pace, fault, ids.request_id(nonce)).run(reply_events(reply))


async def _send_unary(
    exchange: HttpExchange, reply: EmulatedReply, pace: Pace, fault: FaultSpec | None, nonce: str
) -> None:
    seconds = pace.first_token_delay + reply.usage.output * pace.per_token
    if seconds and not await connection.sleep(exchange.connection, seconds):
        exchange.outcome = "client_gone"
        return
    if fault is not None and fault.error_after_event is not None:
        kind = fault.type or "overloaded_error"
        raise ApiError(errors.status_of(kind), kind, fault.message or errors.default_message(kind))
    headers = _unary_headers(nonce, reply.usage.input, reply.usage.output)
    await send_unary(exchange, msgspec.json.encode(reply.to_message()), headers, fault)


def _authenticate(state: EmulatorState, exchange: HttpExchange) -> None:
    """Google's front end: any bearer token is accepted, unless the settings require an issued one.

    :raises ApiError: the token is missing, or neither issued here nor still valid.
    """
    match = _BEARER.match(exchange.header(b"authorization"))
    if match is None:
        raise errors.unauthenticated("CREDENTIALS_MISSING")
    if state.settings.require_token and not state.tokens.is_valid(match[1], state.clock()):
        raise errors.unauthenticated()


def _decode_body(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid_request(f"The request body is not valid JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise invalid_request("Input should be a valid dictionary")
    return decoded


def _find_fault(
    state: EmulatorState, exchange: HttpExchange, target: Target, model: str, prompt: Prompt, body: dict[str, Any]
) -> FaultSpec | None:
    """The fault for this request: the prompt's directive, otherwise the scenario's rule."""
    directive = directives.find(prompt.raw)
    if directive is not None:
        fault, key = directive
        if not state.use_directive(key, fault.times):
            return None
        exchange.fault = key
        return fault
    facts = RequestFacts(
        endpoint="count_tokens" if target["model"] == _COUNT else "messages",
        project=target["project"],
        location=target["location"],
        model=model,
        stream=target["verb"] == "streamRawPredict",
        text=prompt.text,
        betas=tuple(names_in(exchange.header(b"anthropic-beta"))),
        body=body,
    )
    match = state.rules.match(facts)
    if match is None:
        return None
    fault, exchange.fault = match
    return fault


def _model_card(state: EmulatorState, target: Target, model: str, counting: bool) -> ModelCard:
    """The card of the model, if it exists and is served in this location.

    :raises ApiError: 404 or 403, in Google's words.
    """
    project, location, publisher = target["project"], target["location"], target["publisher"]
    unknown_model = errors.unknown_model(project, location, publisher, target["model"])
    if publisher != "anthropic" or not _LOCATION.match(location):
        raise unknown_model
    if state.settings.projects is not None and project not in state.settings.projects:
        raise errors.permission_denied(project, location, target["model"])
    card = state.catalog.find(model)
    if counting:
        return _counted_card(unknown_model, location, model, card)
    exact = card is not None and model in (card.id, f"{card.base}@default" if "@" not in card.id else card.id)
    if card is None or not exact or normalise(model) != card.id or not card.served_in(location):
        raise unknown_model
    if card.id in _NEEDS_DATA_SHARING and not state.settings.data_sharing:
        raise errors.data_sharing_required()
    return card


def _counted_card(unknown_model: ApiError, location: str, model: str, card: ModelCard | None) -> ModelCard:
    """The card of a model whose tokens are counted: it is named without its version (messages.md 8).

    :raises ApiError: 404 where tokens cannot be counted or for an unknown model, 400 for a name with a version.
    """
    if location not in COUNT_LOCATIONS:
        raise unknown_model
    if "@" in model or (card is not None and not card.count_tokens):
        raise errors.not_countable(model)
    if card is None or model != card.base:
        raise ApiError(404, "not_found_error", f"model: {model}")
    return card


def _pace(state: EmulatorState, fault: FaultSpec | None) -> Pace:
    settings = state.settings
    rate = settings.tokens_per_second
    if fault is not None and fault.tokens_per_second is not None:
        rate = fault.tokens_per_second
    delay = settings.first_token_delay if rate else 0.0
    if fault is not None and fault.first_token_delay:
        delay = fault.first_token_delay
    per_token = 1.0 / rate if rate > 0 else 0.0
    return Pace(per_token=per_token, first_token_delay=delay, ping_interval=settings.ping_interval)


def _stream_headers(nonce: str) -> list[tuple[bytes, bytes]]:
    return [
        _EVENT_STREAM,
        (b"cache-control", b"no-cache"),
        (b"request-id", ids.request_id(nonce).encode()),
        (b"vary", b"Origin,Accept-Encoding"),
        (b"x-vertex-ai-received-request-id", ids.received_id(nonce).encode()),
    ]


def _unary_headers(
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


async def _send_error(exchange: HttpExchange, error: ApiError, nonce: str, streaming: bool) -> None:
    request_id = ids.request_id(nonce)
    body = error.body(request_id, streaming=streaming)
    if error.google:
        await exchange.respond(error.status, body, ((b"content-type", b"application/json; charset=UTF-8"),))
    else:
        await exchange.respond(error.status, body, (JSON, (b"request-id", request_id.encode())))
    exchange.outcome = "refused"
