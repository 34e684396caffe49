"""Claude on Vertex AI: URL, headers and verb around a Messages request; readers for its replies. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelmux.claude.draft import RecallThinking, SignedThinking
from modelmux.claude.native import NativeRequest
from modelmux.claude.prepare import PreparedRequest, prepare
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.call_template import CallTemplate, build_template
from modelmux.providers.vertex_claude.errors import translate_upstream_error
from modelmux.providers.vertex_claude.native.betas import refused_values
from modelmux.providers.vertex_claude.native.prepare import prepare_native
from modelmux.providers.vertex_claude.reader import ClaudeReplyReader, decode_reply
from modelmux.providers.vertex_claude.token_counting import VertexTokenCounting
from modelmux.routing.model import Deployment, Route
from modelmux.wire.anthropic import Message, raw_reply
from modelmux.wire.google.errors import decode_error
from modelmux.wire.http import Headers, HttpCall, find_header

#: More than there are deployments with their usual betas. Clients name betas, so the number has to have a limit.
_MAX_TEMPLATES: Final = 1024
#: Characters of the betas of such a template; usual ones have about 200.
_MAX_REMEMBERED: Final = 1024


class VertexClaude:
    """The provider. Values that depend only on the deployment and the token are computed once."""

    name: Final = "gcp.vertex_ai"
    native_dialects: Final = frozenset({"anthropic_messages", "vertex_raw"})

    def __init__(self, *, quota_project: Callable[[], str | None] = lambda: None) -> None:
        self._quota_project = quota_project
        self.counting = VertexTokenCounting(self._template)
        self._templates: dict[tuple[str, bool, tuple[str, ...]], CallTemplate] = {}

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
        """See ``providers.base.Provider``."""
        return prepare(request, plan, deployment.card, route.options, recall, other_model=other_model)

    def prepare_native(
        self,
        request: NativeRequest,
        deployment: Deployment,
        route: Route,
        *,
        refused: frozenset[str],
        drops: Callable[[SignedThinking], bool] | None,
    ) -> NativePrepared:
        """See ``providers.base.Provider``."""
        return prepare_native(request, deployment.card, route.options, refused=refused, drops=drops)

    def refused_betas(self, error: GatewayError) -> frozenset[str]:
        """See ``providers.base.Provider``."""
        return refused_values(error.message) if error.kind.name == "beta_refused" else frozenset()

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
        """See ``providers.base.Provider``."""
        return self._template(deployment.url, token, stream=stream, betas=betas).call(body, route.timeouts)

    def _template(self, url: str, token: str, *, stream: bool = False, betas: tuple[str, ...] = ()) -> CallTemplate:
        key = (url, stream, betas)
        quota_project = self._quota_project()
        template = self._templates.get(key)
        if template is None or template.token != token or template.quota_project != quota_project:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            template = build_template(url, token, quota_project, stream=stream, betas=betas)
            if sum(map(len, betas)) <= _MAX_REMEMBERED:
                self._templates[key] = template
        return template

    def reader(self, deployment: Deployment) -> ClaudeReplyReader:
        """See ``providers.base.Provider``."""
        return ClaudeReplyReader(deployment.project)

    def message(self, body: bytes, deployment: Deployment | None = None) -> Message:
        """See ``providers.base.Provider``."""
        return decode_reply(body, deployment.project if deployment is not None else "")

    def stream_of(self, body: bytes) -> bytes:
        """See ``providers.base.Provider``."""
        return raw_reply.to_stream(body)

    def body_of(self, stream: bytes) -> bytes:
        """See ``providers.base.Provider``."""
        return raw_reply.to_body(stream)

    def error(
        self, status: int, headers: Headers, body: bytes, deployment: Deployment, now: float | None = None
    ) -> UpstreamRefused:
        """See ``providers.base.Provider``."""
        retry_after = find_header(headers, b"retry-after")
        return translate_upstream_error(
            decode_error(status, body),
            retry_after=retry_after,
            project=deployment.project,
            body=body,
            headers=headers,
            now=now,
        )
