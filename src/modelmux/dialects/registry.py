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

OPENAI_CHAT: Final[Dialect] = OpenAIChat()
ANTHROPIC_MESSAGES: Final[ListingDialect] = AnthropicMessages()


class Surface(Struct, frozen=True):
    """One served path.

    :param path: a template: ``{name:path}`` matches the rest, slashes included.
    :param dialect: of the responses, errors included.
    :param anthropic_dialect: for clients that speak Anthropic's API, where the path belongs to both.
    :param authenticated: needs a key, if any keys are configured.
    """

    method: str
    path: str
    operation: Operation
    dialect: ListingDialect = OPENAI_CHAT
    anthropic_dialect: ListingDialect | None = None
    authenticated: bool = True

    @property
    def generates(self) -> Dialect | None:
        """The dialect of an operation that calls an upstream; None for the others."""
        return self.dialect if isinstance(self.dialect, Dialect) and self.operation == "generate" else None


def _with_and_without_version(
    method: str, path: str, operation: Operation, anthropic: ListingDialect | None = None
) -> list[Surface]:
    """Some clients leave /v1 out of the base URL."""
    return [Surface(method, prefix + path, operation, anthropic_dialect=anthropic) for prefix in ("/v1", "")]


def _pages(*paths: str, authenticated: bool) -> list[Surface]:
    return [Surface("GET", path, "page", authenticated=authenticated) for path in paths]


SURFACES: Final[tuple[Surface, ...]] = (
    *_with_and_without_version("POST", "/chat/completions", "generate"),
    *_with_and_without_version("GET", "/models", "list_models", ANTHROPIC_MESSAGES),
    *_with_and_without_version("GET", "/models/{name:path}", "list_models", ANTHROPIC_MESSAGES),
    # Probes and counters: first the gateway's own names, then those of LiteLLM.
    *_pages("/", "/health", "/livez", "/healthz", "/health/liveliness", "/health/liveness", authenticated=False),
    *_pages("/readyz", "/health/readiness", authenticated=False),
    *_pages("/metrics", authenticated=True),
)
