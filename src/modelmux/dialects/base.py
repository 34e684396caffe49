"""The interface of client dialects: a dialect decodes a request and encodes the reply. The data path depends on nothing
else of it.

A dialect is one folder with everything it promises clients (fields, errors, stream grammar); routing, attempts, limits
and settling are the same for all. ``registry.py`` maps paths to dialects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from modelmux.catalog import Lifecycle
from modelmux.claude.native import NativeRequest
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.reply_state import ReplyState
from modelmux.claude.request import ClaudeRequest
from modelmux.dialects.sealer import Sealer
from modelmux.dialects.stored_responses import History, HistoryQuery, StoredResponse
from modelmux.errors import GatewayError
from modelmux.wire.anthropic import InputMessage, Message, StreamEvent
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from modelmux.wire.http import Headers

#: What a served path does. ``generate`` and ``count_tokens`` call an upstream, the others do not.
Operation = Literal[
    "generate", "count_tokens", "list_models", "page", "get_response", "list_input_items", "cancel_response",
    "delete_response", "websocket", "read_key", "read_key_usage",
]  # fmt: skip


class Caller(Struct, frozen=True):
    """Who sends a request.

    :param owner: digest of a key of ``server.api_keys``, id of a virtual key, so that what is remembered for one caller
        is not shown to another; ``anonymous`` where no key is required.
    :param is_account: it has a virtual key, with the rights of that key; any other caller may use everything.
    :param person, team: of the key; ids from the topmost team down, joined by ``/``.
    :param models: names of routes and models that it may use, ``*`` for any characters; empty for all.
    :param tags: that its requests have, whatever they say.
    :param hint: what people recognize the secret by that the request has; empty without a virtual key.
    :param is_captured: its key has agreed that bodies of its requests are kept.
    """

    owner: str = "anonymous"
    is_account: bool = False
    person: str | None = None
    team: str = ""
    models: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    hint: str = ""
    is_captured: bool = False


class DialectOptions(Struct, frozen=True):
    """What a dialect needs to know of the gateway's configuration.

    :param sealer: seals what a client keeps for the gateway; None if nothing can be sealed.
    :param stores_responses: whether responses can be stored.
    :param max_stored_bytes: the largest response that is stored, its request included.
    :param drops_hosted_tools: leave out tools that need a service of OpenAI's, instead of rejecting the request.
    :param web_search: run the model's web search for a client that declares one.
    :param sends_done: end streams of OpenAI Responses with ``data: [DONE]``.
    :param codex_refusals_as_text: show refusals to Codex as text, because it shows nothing of a refusal part.
    """

    sealer: Sealer | None = None
    stores_responses: bool = False
    max_stored_bytes: int = 8 * 1024 * 1024
    drops_hosted_tools: bool = False
    web_search: bool = False
    sends_done: bool = False
    codex_refusals_as_text: bool = True


class Inbound(Struct, frozen=True):
    """A request as it arrived, without its body; made by the server, never changed.

    :param received_at: monotonic seconds.
    :param strict: reject the request instead of changing it.
    :param timeout: seconds the client allows, from ``received_at``.
    :param path: as the registry has it, with ``{model}`` and so on.
    """

    request_id: str
    received_at: float
    operation: Operation = "generate"
    headers: Sequence[tuple[bytes, bytes]] = ()
    path_params: Mapping[str, str] = {}
    caller: Caller = Caller()
    strict: bool = False
    timeout: float = math.inf
    options: DialectOptions = DialectOptions()
    path: str = ""


class Unresolved(Struct, frozen=True):
    """A request that refers to stored responses.

    :param query: what it refers to.
    :param complete: the decoded request, given what the store knows. Raises ``InvalidRequest`` if that is not enough.
    """

    query: HistoryQuery
    complete: Callable[[History], Decoded]


class Decoded(Struct, frozen=True):
    """A request, independent of its dialect and of any model.

    :param request: in the form of Anthropic Messages; None where only ``native`` can be sent.
    :param plan: how the reply is to be shown.
    :param conversation_id: the client's identifier of the conversation, if the body has one.
    :param native: the request in the client's own bytes, for a provider that speaks this dialect.
    :param max_attempts: the most attempts that this request is worth, first included; None for the gateway's own limit.
    :param unresolved: what has to be looked up before ``request`` can be made; that is None until then.
    :param is_costly: it takes long to translate, so that is done in a thread. Set by the gateway.
    :param end_user, metadata: whom and what the client names for its own accounts.
    :param prompt_bytes: see ``claude/prompt_bytes.py``; 0 where no limit needs it. Set by the gateway.
    :param body_bytes: of its body; 0 where no request waits for limits. :param waited: seconds for which it has waited
        for them. Set by the gateway.
    """

    model: str
    stream: bool
    request: ClaudeRequest | None
    plan: ReplyPlan
    conversation_id: str | None = None
    native: NativeRequest | None = None
    max_attempts: int | None = None
    unresolved: Unresolved | None = None
    is_costly: bool = False
    end_user: str | None = None
    metadata: Mapping[str, Any] | None = None
    prompt_bytes: int = 0
    body_bytes: int = 0
    waited: float = 0.0


class ErrorResponse(NamedTuple):
    """An error as one dialect tells it.

    :param headers: in addition to those of every error.
    """

    status: int
    body: bytes
    headers: Headers


class RateLimit(Struct, frozen=True):
    """The state of a limit, for headers.

    :param counts: what it is a limit of, a minute.
    :param resets_in: seconds until nothing counts any more. :param resets_at: the same, in Unix seconds.
    """

    counts: Literal["requests", "tokens", "input-tokens", "output-tokens"]
    limit: int
    remaining: int
    resets_in: float
    resets_at: float


class ListedModel(Struct, frozen=True):
    """One entry of the model list, before it is encoded.

    :param created_at: Unix seconds, for dialects that have to show a time.
    :param display_name: for people.
    :param released_on: None where the catalog does not know.
    :param deprecated_on, retires_on: None while the model is active.
    """

    name: str
    display_name: str
    created_at: int
    released_on: date | None
    lifecycle: Lifecycle
    deprecated_on: date | None
    retires_on: date | None
    max_input_tokens: int
    max_output_tokens: int


class ReplyEncoder:
    """Events of one reply -> bytes for one client. A base class, so that a dialect implements what it needs.

    The gateway calls ``feed`` for each event, ``keep_alive`` while the stream is silent, and ends it once with
    ``finish`` or ``fail``. What ``feed`` returns before ``content_started`` is held back: another attempt may take its
    place, and what ``keep_alive`` returns is sent before it. So an encoder that numbers its events returns none of them
    until there is content.

    :param plan: how the reply is shown.
    """

    #: If true, a stream passes in its own bytes: ``feed_chunk`` receives them with their events. ``feed`` is called for
    #: events that have no bytes to pass: those of the stream modes ``buffered`` and ``single``, which native requests
    #: do not have.
    raw: ClassVar[bool] = False

    def __init__(self, plan: ReplyPlan, state: ReplyState | None = None) -> None:
        self.plan = plan
        self.state = ReplyState(plan.max_continuations) if state is None else state
        #: Whether any content was encoded: from then on the attempt is committed.
        self.content_started = False
        #: What is wrong with the reply behind what ``feed_chunk`` returned: the stream ends with it once that was sent.
        self.failure: GatewayError | None = None
        #: When the reply was complete, in Unix seconds; set by the gateway before it asks for the end.
        self.ended_at: int | None = None

    def message(self, message: Message, body: bytes) -> bytes:
        """The body for a client that did not ask for a stream.

        :param body: the same as it came from the upstream, for a dialect that passes it on; empty if it consists of
            several replies.
        """
        raise NotImplementedError

    def feed(self, event: StreamEvent) -> bytes:
        """Bytes for one event: reads it into ``state``, then encodes it."""
        raise NotImplementedError

    def feed_run(self, run: TextDeltaRun) -> bytes | None:
        """Fast path: bytes for a run of plain text deltas; None to have them fed one by one."""
        del run
        return None

    def feed_chunk(self, data: bytes, events: Sequence[StreamEvent | TextDeltaRun]) -> bytes:
        """Where ``raw``: bytes for complete events as they came from the network.

        :param data: never part of an event, an error event, or anything after ``message_stop``. May be comments only.
        :param events: the same, decoded.
        """
        del events
        return data

    def keep_alive(self, idle: float) -> bytes:
        """Bytes that keep a silent stream open; may be empty.

        :param idle: seconds since something was sent.
        """
        del idle
        return b""

    @property
    def stores_response(self) -> bool:
        """Whether ``stored_response`` returns something at the end of a reply."""
        return False

    def stored_response(self, message: Message | None = None) -> StoredResponse | None:
        """What has to be stored before the end of the reply is sent; None for nothing.

        :param message: the reply, for a client that did not ask for a stream.
        """
        del message
        return None

    def not_stored(self) -> None:
        """What ``stored_response`` returned could not be stored: the end of the reply says so."""

    def finish(self) -> bytes:
        """The end of a complete stream."""
        return b""

    def fail(self, error: GatewayError) -> bytes:
        """An error inside the stream, which the official SDKs raise on."""
        raise NotImplementedError

    def restart(self, plan: ReplyPlan) -> ReplyEncoder:
        """An encoder for another attempt, or for the continuation of a paused reply.

        Called on the exchange's first encoder, or on the one whose reply paused. Of a first attempt that failed, the
        encoder may have read events, but none of its bytes were sent. What ``keep_alive`` has sent cannot be taken
        back: its state is shared by all encoders of one exchange.

        :param plan: of the attempt; another model may need another one.
        """
        raise NotImplementedError

    @property
    def continuation_turn(self) -> InputMessage:
        """The turn that asks the upstream to continue a paused reply."""
        return self.state.continuation_turn


class ListingDialect(Protocol):
    """Encodes errors and the model list. Pure."""

    @property
    def name(self) -> str:
        """Label of metrics, log and spans: ``openai_chat``."""
        ...

    def error(self, error: GatewayError, request_id: str) -> ErrorResponse:
        """An error response."""
        ...

    def models(self, models: Sequence[ListedModel], query: Mapping[str, str]) -> bytes:
        """The list. :raises InvalidRequest: a query parameter that cannot be used."""
        ...

    def model(self, model: ListedModel) -> bytes:
        """One entry of the list."""
        ...


@runtime_checkable
class Dialect(ListingDialect, Protocol):
    """One client dialect. Pure: no I/O, no clock."""

    def decode(self, inbound: Inbound, body: bytes) -> Decoded:
        """:raises InvalidRequest: naming the field."""
        ...

    def encoder(self, plan: ReplyPlan, *, id: str, created: int, request_id: str) -> ReplyEncoder:
        """
        :param id: random hexadecimal digits, unique to the exchange.
        :param created: Unix seconds.
        """
        ...

    def reply_headers(self, request_id: str, upstream: Headers) -> Headers:
        """The dialect's own headers of a response with a reply.

        :param upstream: headers of the reply; empty if the response starts before it.
        """
        ...

    def rate_limit_headers(self, limits: Sequence[RateLimit]) -> Headers:
        """What is left of limits of the caller's key."""
        ...


@runtime_checkable
class CountingDialect(Dialect, Protocol):
    """A dialect that has counts of tokens, too."""

    def token_count(self, count: bytes) -> bytes:
        """The body of a count.

        :param count: that of Anthropic's API: ``{"input_tokens": …}``.
        """
        ...
