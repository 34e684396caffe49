"""Token counting on Vertex AI: a model resource of its own name, with the model in the body, in few locations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from modelmux.catalog import location_of_host
from modelmux.claude.native import NativeRequest, blocks_of
from modelmux.claude.prepare import PreparedRequest
from modelmux.errors import GatewayError, UpstreamBroken
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.call_template import CallTemplate
from modelmux.providers.vertex_claude.native.count_tokens import COUNTED, prepare_count, refused_fields
from modelmux.routing.count_locations import other_count_locations
from modelmux.routing.model import Deployment, Route
from modelmux.wire.anthropic import encode_request
from modelmux.wire.google.vertex import base_url
from modelmux.wire.http import HttpCall

_RESOURCE: Final = "count-tokens"
_LOCATION: Final = re.compile(r"(?<=/locations/)[^/]+(?=/)")
_HOST: Final = re.compile(r"https?://[^/]+")
#: A 400 of models that it does not know, or not under this name.
_NOT_COUNTABLE: Final = re.compile(r"is not supported for token counting", re.IGNORECASE)


class _Count(Struct):
    input_tokens: int


_decoder: Final = msgspec.json.Decoder(_Count)


class VertexTokenCounting:
    """See ``providers.base.TokenCounting``.

    :param template: URL and token -> the call.
    """

    def __init__(self, template: Callable[[str, str], CallTemplate]) -> None:
        self._template = template

    def native_form(self, request: PreparedRequest) -> NativeRequest:
        """See ``providers.base.TokenCounting``."""
        content = msgspec.json.decode(encode_request(request.body))
        content = {field: value for field, value in content.items() if field in COUNTED}
        return NativeRequest(msgspec.json.encode(content), content, list(blocks_of(content)))

    def deployments(self, deployment: Deployment, route: Route) -> list[Deployment]:
        """See ``providers.base.TokenCounting``."""
        if not _LOCATION.search(deployment.url):
            return [deployment]
        others = other_count_locations(route, deployment.location)
        return [deployment, *(_moved(deployment, location) for location in others)]

    def prepare(
        self, request: NativeRequest, deployment: Deployment, route: Route, *, refused: frozenset[str]
    ) -> NativePrepared:
        """See ``providers.base.TokenCounting``."""
        return prepare_count(request, deployment.card, route.options, refused=refused)

    def refused_fields(self, error: GatewayError, request: NativeRequest) -> frozenset[str]:
        """See ``providers.base.TokenCounting``."""
        return refused_fields(error.message, request) if error.kind.name == "invalid_request" else frozenset()

    def is_unavailable(self, error: GatewayError) -> bool:
        """See ``providers.base.TokenCounting``."""
        kind = error.kind.name
        return kind == "not_found" or (kind == "invalid_request" and bool(_NOT_COUNTABLE.search(error.message)))

    def call(self, deployment: Deployment, body: bytes, token: str, *, route: Route) -> HttpCall:
        """See ``providers.base.TokenCounting``."""
        url = f"{deployment.url.rpartition('/')[0]}/{_RESOURCE}"
        return self._template(url, token).call(body, route.timeouts)

    def check(self, body: bytes) -> None:
        """See ``providers.base.TokenCounting``."""
        try:
            count = _decoder.decode(body).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError):
            count = 0
        if count < 1:  # every request has tokens
            raise UpstreamBroken("Vertex AI sent no number of tokens.", reply_started=True)


def _moved(deployment: Deployment, location: str) -> Deployment:
    """The same model of the same project in another location. A host that is not Google's serves every location."""
    url = _LOCATION.sub(location, deployment.url, count=1)
    if location_of_host(url) is not None:
        url = _HOST.sub(base_url(location), url, count=1)
    name = deployment.id.rpartition("@")[0] or deployment.id
    return replace(deployment, id=f"{name}@{location}", url=url, location=location)
