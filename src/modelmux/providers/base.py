"""The interface of upstreams: a provider prepares a request for a deployment, and decodes the reply.

A provider is one folder. Connections, tokens, retries and routing are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from modelmux.claude.draft import RecallThinking, SignedThinking
from modelmux.claude.native import NativeRequest
from modelmux.claude.notices import Notice
from modelmux.claude.prepare import PreparedRequest
from modelmux.claude.reply_keys import PropertyNames
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.routing.model import Deployment, Route
from modelmux.wire.anthropic import Message, StreamEvent
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from modelmux.wire.http import Headers, HttpCall

#: Longest error body and longest reply in one piece that are read. Google's errors are a few hundred bytes, its HTML
#: pages a few kB; 128k output tokens are well below the second.
MAX_ERROR_BODY: Final = 256 * 1024
MAX_REPLY_BODY: Final = 32 * 1024 * 1024


class NativePrepared(Struct, frozen=True):
    """A native request for one deployment.

    :param body: what is sent.
    :param betas: values of the ``anthropic-beta`` header.
    :param property_names: see ``ReplyPlan``.
    """

    body: bytes
    betas: tuple[str, ...]
    notices: list[Notice]
    property_names: PropertyNames = {}


class ReplyReader(Protocol):
    """The bytes of one streamed reply -> events. Complete events are returned at once, however the bytes were split."""

    @property
    def failure(self) -> GatewayError | None:
        """What is wrong with the event after the last one returned; the next call raises it."""
        ...

    @property
    def empty_events(self) -> int:
        """How many events without payload there were: intermediaries send them, and they are not returned."""
        ...

    def feed(self, data: bytes) -> list[StreamEvent | TextDeltaRun]:
        """The events that these bytes complete; plain text deltas in a row may come as one run.

        Events before a failure are returned; the failure is raised by the next call.

        :raises UpstreamRefused: the stream reports an error.
        :raises UpstreamBroken: bytes that cannot be read as events.
        """
        ...

    def close(self) -> list[StreamEvent | TextDeltaRun]:
        """The events that the end of the bytes completes. :raises GatewayError: as ``feed``."""
        ...


class TokenCounting(Protocol):
    """How one kind of upstream counts the tokens of a request in its own form. Pure."""

    def native_form(self, request: PreparedRequest) -> NativeRequest:
        """A translated request, prepared for a model, as a native one: only what counts."""
        ...

    def deployments(self, deployment: Deployment, route: Route) -> Sequence[Deployment]:
        """Where to ask, in order: first the deployment itself, then the same project in other locations of the route's
        geography."""
        ...

    def prepare(
        self, request: NativeRequest, deployment: Deployment, route: Route, *, refused: frozenset[str]
    ) -> NativePrepared:
        """The request whose tokens are counted.

        :param refused: fields that the deployment's location has refused lately.
        :raises InvalidRequest: it asks for something that the provider does not offer.
        """
        ...

    def refused_fields(self, error: GatewayError, request: NativeRequest) -> frozenset[str]:
        """The fields that the upstream does not count, and that may be left out; empty for any other error."""
        ...

    def is_unavailable(self, error: GatewayError) -> bool:
        """Whether the upstream does not count for this model in this location."""
        ...

    def call(self, deployment: Deployment, body: bytes, token: str, *, route: Route) -> HttpCall:
        """The HTTP call that sends a prepared body."""
        ...

    def check(self, body: bytes) -> None:
        """:raises UpstreamBroken: the reply does not say how many tokens there are."""
        ...


class Provider(Protocol):
    """One kind of upstream. Pure: no I/O and no clock."""

    @property
    def name(self) -> str:
        """OpenTelemetry's ``gen_ai.provider.name``."""
        ...

    @property
    def native_dialects(self) -> frozenset[str]:
        """Dialects whose requests pass through in their own form."""
        ...

    @property
    def counting(self) -> TokenCounting | None:
        """None if the upstream cannot count tokens."""
        ...

    def prepare(
        self,
        request: ClaudeRequest,
        plan: ReplyPlan,
        deployment: Deployment,
        route: Route,
        recall: RecallThinking,
        *,
        other_model: bool,
    ) -> PreparedRequest:
        """The request as the deployment's model accepts it.

        :param other_model: thinking in the history may be that of another model.
        :raises InvalidRequest: the model does not support it.
        """
        ...

    def prepare_native(
        self,
        request: NativeRequest,
        deployment: Deployment,
        route: Route,
        *,
        refused: frozenset[str],
        drops: Callable[[SignedThinking], bool] | None,
    ) -> NativePrepared:
        """A request of a native dialect, in the client's own bytes but for what the deployment requires.

        :param refused: betas that the deployment's location has refused lately.
        :param drops: which thinking of the history is left out; None for none.
        :raises InvalidRequest: it asks for something that the provider does not offer.
        """
        ...

    def refused_betas(self, error: GatewayError) -> frozenset[str]:
        """The betas that the upstream says it does not know; empty for any other error."""
        ...

    def call(
        self,
        deployment: Deployment,
        body: bytes,
        token: str,
        *,
        stream: bool,
        betas: tuple[str, ...],
        route: Route,
    ) -> HttpCall:
        """The HTTP call that sends a prepared body."""
        ...

    def reader(self, deployment: Deployment) -> ReplyReader: ...

    def message(self, body: bytes, deployment: Deployment | None = None) -> Message:
        """A reply in one piece.

        :param deployment: whose reply it is; its project is removed from errors.
        :raises UpstreamRefused: the body is an error, although the status says otherwise.
        :raises UpstreamBroken: the body is not a message.
        """
        ...

    def stream_of(self, body: bytes) -> bytes:
        """A reply in one piece as the shortest stream of complete events, for a dialect that passes these on."""
        ...

    def body_of(self, stream: bytes) -> bytes:
        """A complete stream as the reply in one piece, for a dialect that passes this on."""
        ...

    def error(
        self, status: int, headers: Headers, body: bytes, deployment: Deployment, now: float | None = None
    ) -> UpstreamRefused:
        """An error reply as an exception; it never contains the deployment's project.

        :param now: seconds since the epoch, for a ``retry-after`` that is a date.
        """
        ...
