"""What an exchange that runs tells of itself, read at the time of the question. Nothing is kept for it before that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from modelmux.accounts.charge import delivered_tokens
from modelmux.accounts.live_requests import (
    EndLive,
    ListLive,
    LiveAnswer,
    LiveEnd,
    LiveList,
    LiveQuestion,
    LiveRequest,
    LiveState,
    is_of_caller,
    matches,
)
from modelmux.errors import GatewayError
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.running_requests import Running, RunningRequests
from modelmux.telemetry.loggable import loggable_word
from modelmux.telemetry.records import AttemptRecord
from modelmux.wire.redaction import redacted

#: The code of the error that a client gets whose request was ended by an administrator.
ENDED: Final = "request_ended"


class LiveRequests:
    """Answers questions about the requests of one process. Call in the event loop.

    :param worker: number of the process. :param process: random letters and digits, so that ids of a process before it
        are not taken for those of this one.
    :param keys: owner of a caller -> id of the key, as rows have it. :param redact: removes secrets from what clients
        chose.
    """

    def __init__(
        self,
        running: RunningRequests,
        worker: int,
        process: str,
        keys: Mapping[str, str] = MappingProxyType({}),
        redact: Callable[[str], str] = redacted,
    ) -> None:
        self._running = running
        self._prefix = f"live_{worker}_{process}_"
        self.keys = keys
        self.redact = redact

    def answer(self, question: LiveQuestion) -> LiveAnswer:
        if isinstance(question, EndLive):
            return LiveEnd(ended=self._end(question.id))
        return self._list(question)

    def _list(self, question: ListLive) -> LiveList:
        """A question that chooses nothing costs as much as what is listed, however many requests run."""
        if question.id is not None:
            request = self._numbered(question.id)
            one = self._chosen(question, request) if request is not None else None
            return LiveList(requests=[] if one is None else [one])
        is_all = question == ListLive(limit=question.limit)
        listed: list[LiveRequest] = []
        more = 0
        for request in reversed(self._running):
            if len(listed) == question.limit and is_all:
                return LiveList(requests=listed, more=len(self._running) - len(listed))
            one = self._chosen(question, request)
            if one is not None and len(listed) < question.limit:
                listed.append(one)
            elif one is not None:
                more += 1
        return LiveList(requests=listed, more=more)

    def _chosen(self, question: ListLive, exchange: Running) -> LiveRequest | None:
        """What costs little is compared first."""
        assert isinstance(exchange, Exchange)
        caller = exchange.inbound.caller
        if not is_of_caller(question.where, self._key(exchange), caller.person, caller.team):
            return None
        if question.state is not None and state_of(exchange) != question.state:
            return None
        one = self._described(exchange)
        return one if matches(question, one) else None

    def _end(self, id: str) -> bool:
        """Whether it ran."""
        request = self._numbered(id)
        return request is not None and self._running.end(request, ended_by_administrator())

    def _numbered(self, id: str) -> Running | None:
        """The request of an id; None if it is over, or of another process."""
        number = id.removeprefix(self._prefix)
        if not id.startswith(self._prefix) or not number.isascii() or not number.isdigit():
            return None
        return self._running.numbered(int(number[:18]))

    def _key(self, exchange: Exchange) -> str:
        owner = exchange.inbound.caller.owner
        return self.keys.get(owner, owner)

    def _described(self, exchange: Exchange) -> LiveRequest:
        inbound, decoded, route = exchange.inbound, exchange.decoded, exchange.route
        caller, last = inbound.caller, exchange.attempts[-1] if exchange.attempts else None
        first = next((one.first_content_at for one in exchange.attempts if one.first_content_at is not None), None)
        card = last.card if last is not None else None if route is None else route.card
        tokens, estimated = output_of(exchange, last)
        held, note = (None, None) if last is None else (last.held, last.note)
        name = None if decoded is None else decoded.model
        return LiveRequest(
            id=f"{self._prefix}{self._running.number(exchange)}",
            request_id=inbound.request_id,
            row=None if note is None else note.id,
            age=exchange.services.runtime.clock() - inbound.received_at,
            first_content=None if first is None else first - inbound.received_at,
            key=self._key(exchange),
            person=caller.person,
            team=caller.team,
            dialect=exchange.dialect.name,
            operation=inbound.operation,
            requested_model=None if name is None else loggable_word(name, self.redact),
            route=None if route is None else route.name,
            model=None if card is None else card.id,
            location=None if last is None else last.location or None,
            deployment=None if last is None else last.deployment,
            stream=decoded is not None and decoded.stream,
            state=state_of(exchange),
            attempts=len(exchange.attempts),
            output_tokens=tokens,
            estimated=estimated,
            held=None if held is None else held.money,
            response_bytes=exchange.client.bytes_sent,
        )


def state_of(exchange: Exchange) -> LiveState:
    admission, last = exchange.admission, exchange.attempts[-1] if exchange.attempts else None
    if exchange.decoded is None:
        return "receiving"
    if admission.queued_at is not None and admission.admitted_at is None:
        return "queued"
    if last is not None and last.ended_at is None and last.server is None:  # no call before a slot of the deployment
        return "queued"
    encoder = exchange.encoder
    if last is not None and last.ended_at is None and encoder is not None and encoder.state.is_thinking:
        return "thinking"
    if last is not None and last.first_content_at is not None:
        return "streaming"
    return "waiting"


def output_of(exchange: Exchange, last: AttemptRecord | None) -> tuple[int | None, bool]:
    """Tokens of output so far, and whether they are estimated. Those of attempts before the last are not counted."""
    stream = exchange.committed
    if last is None or stream is None:
        usage = None if last is None else last.usage
        return (usage.output_tokens if usage is not None and last is not None and last.output_reported else None), False
    usage = stream.state.attempt_usage
    if stream.state.output_reported and usage is not None:
        return usage.output_tokens, False
    tokens = delivered_tokens(stream.characters)
    return (tokens or None), bool(tokens)


def ended_by_administrator() -> GatewayError:
    """What the client is told. It should not send the request again by itself."""
    error = GatewayError(
        "An administrator of this gateway has ended the request.", code=ENDED,
        hint="Ask the operator of the gateway before you send it again.",
    )  # fmt: skip
    error.should_retry = False
    return error
