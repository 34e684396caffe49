"""Every served path: its dialect, its operation, and whether it needs a key. Data only.

The same code authenticates, limits, settles and rejects requests on all paths; errors have the format of the path's
dialect.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from modelmux.dialects.anthropic_messages.dialect import AnthropicMessages
from modelmux.dialects.base import Dialect, ListingDialect, Operation
from modelmux.dialects.openai_chat.dialect import OpenAIChat
from modelmux.dialects.openai_responses.dialect import OpenAIResponses
from modelmux.dialects.vertex_raw.dialect import VertexRaw

OPENAI_CHAT: Final[Dialect] = OpenAIChat()
OPENAI_RESPONSES: Final[Dialect] = OpenAIResponses()
OPENAI_RESPONSES_COMPACT: Final[Dialect] = OpenAIResponses(compact=True)
ANTHROPIC_MESSAGES: Final[Dialect] = AnthropicMessages()
VERTEX_RAW: Final[Dialect] = VertexRaw(stream=False)
VERTEX_RAW_STREAM: Final[Dialect] = VertexRaw(stream=True)


class Surface(Struct, frozen=True):
    """One served path.

    :param path: a template: ``{name:path}`` matches the rest, slashes included.
    :param dialect: of the responses, errors included.
    :param anthropic_dialect: for clients that speak Anthropic's API, where the path belongs to both.
    :param authenticated: needs a key, if any keys are configured.
    :param may_be_keyless: served without one where ``server.keyless_vertex_paths`` says so.
    """

    method: str
    path: str
    operation: Operation
    dialect: ListingDialect = OPENAI_CHAT
    anthropic_dialect: ListingDialect | None = None
    authenticated: bool = True
    may_be_keyless: bool = False

    @property
    def is_api(self) -> bool:
        """Whether it belongs to one API: lists of models, pages and what a key is told of itself are for all."""
        return self.operation not in ("page", "list_models", "read_key", "read_key_usage")

    @property
    def generates(self) -> Dialect | None:
        """The dialect of an operation that generates a reply; None for the others."""
        return self.dialect if isinstance(self.dialect, Dialect) and self.operation == "generate" else None

    @property
    def calls_upstream(self) -> Dialect | None:
        """The dialect of an operation that calls an upstream; None for the others."""
        is_call = self.operation in ("generate", "count_tokens")
        return self.dialect if isinstance(self.dialect, Dialect) and is_call else None


def _with_and_without_version(
    method: str,
    path: str,
    operation: Operation,
    dialect: ListingDialect = OPENAI_CHAT,
    anthropic: ListingDialect | None = None,
) -> list[Surface]:
    """Some clients leave /v1 out of the base URL."""
    return [Surface(method, prefix + path, operation, dialect, anthropic) for prefix in ("/v1", "")]


def _vertex(resource: str, operation: Operation, dialect: Dialect) -> list[Surface]:
    """A path of Vertex AI, under any prefix: clients append it to whatever base URL they have."""
    path = f"/projects/{{project}}/locations/{{location}}/publishers/anthropic/models/{resource}"
    return [
        Surface("POST", prefix + path, operation, dialect, may_be_keyless=True) for prefix in ("", "/{prefix:path}")
    ]


def _pages(*paths: str, authenticated: bool) -> list[Surface]:
    return [Surface("GET", path, "page", authenticated=authenticated) for path in paths]


def api_paths() -> dict[str, str]:
    """The APIs that this gateway serves: the name of a dialect -> its main path."""
    paths: dict[str, str] = {}
    for surface in SURFACES:
        if surface.generates is not None and "{" not in surface.path:
            paths.setdefault(surface.dialect.name, surface.path)
    return paths


#: Beginnings of paths that only clients of Anthropic's API know, served or not.
_ANTHROPIC_PATHS: Final = ("/v1/messages", "/messages", "/v1/files", "/v1/skills", "/v1/complete")


def dialect_of_path(path: str, *, anthropic_client: bool) -> ListingDialect:
    """The dialect of errors on a path that is not served.

    :param anthropic_client: the request has the headers of Anthropic's API.
    """
    is_anthropic = anthropic_client or path.startswith(_ANTHROPIC_PATHS) or "/publishers/anthropic/models/" in path
    return ANTHROPIC_MESSAGES if is_anthropic and not path.endswith(_OPENAI_PATH) else OPENAI_CHAT


_OPENAI_PATH: Final = "/chat/completions"

SURFACES: Final[tuple[Surface, ...]] = (
    *_with_and_without_version("POST", "/chat/completions", "generate"),
    *_with_and_without_version("POST", "/responses", "generate", OPENAI_RESPONSES),
    *_with_and_without_version("POST", "/responses/compact", "generate", OPENAI_RESPONSES_COMPACT),
    *_with_and_without_version("POST", "/responses/input_tokens", "count_tokens", OPENAI_RESPONSES),
    *_with_and_without_version("GET", "/responses", "websocket", OPENAI_RESPONSES),
    *_with_and_without_version("GET", "/responses/{id}", "get_response", OPENAI_RESPONSES),
    *_with_and_without_version("DELETE", "/responses/{id}", "delete_response", OPENAI_RESPONSES),
    *_with_and_without_version("GET", "/responses/{id}/input_items", "list_input_items", OPENAI_RESPONSES),
    *_with_and_without_version("POST", "/responses/{id}/cancel", "cancel_response", OPENAI_RESPONSES),
    *_with_and_without_version("POST", "/messages", "generate", ANTHROPIC_MESSAGES),
    *_with_and_without_version("POST", "/messages/count_tokens", "count_tokens", ANTHROPIC_MESSAGES),
    *_vertex("count-tokens:rawPredict", "count_tokens", VERTEX_RAW),  # before the template that it matches as well
    *_vertex("{model}:rawPredict", "generate", VERTEX_RAW),
    *_vertex("{model}:streamRawPredict", "generate", VERTEX_RAW_STREAM),
    *_with_and_without_version("GET", "/models", "list_models", anthropic=ANTHROPIC_MESSAGES),
    *_with_and_without_version("GET", "/models/{name:path}", "list_models", anthropic=ANTHROPIC_MESSAGES),
    *_with_and_without_version("GET", "/key", "read_key", anthropic=ANTHROPIC_MESSAGES),
    *_with_and_without_version("GET", "/key/usage", "read_key_usage", anthropic=ANTHROPIC_MESSAGES),
    # Probes and counters: first the gateway's own names, then those of LiteLLM.
    # Claude Code asks for /api/hello before its first request.
    *_pages(
        "/api/hello",
        "/",
        "/health",
        "/livez",
        "/healthz",
        "/health/liveliness",
        "/health/liveness",
        authenticated=False,
    ),
    *_pages("/readyz", "/health/readiness", authenticated=False),
    *_pages("/metrics", authenticated=True),
)
