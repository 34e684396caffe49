"""The values of ``anthropic-beta`` that Vertex AI accepts (messages.md 3), and the words in which it refuses others.

A value is refused if Vertex AI or the model does not have its feature, or if the emulator is configured to refuse it. A
value that is not in a table is accepted unless ``strict_betas`` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct

from modelmux.catalog import ModelCard
from modelmux.emulator.errors import ApiError, invalid_request
from modelmux.emulator.model_facts import is_4_5_or_newer

#: Sent by Claude Code's own Vertex mode to the real service.
_SENT_BY_CLAUDE_CODE: Final = frozenset(
    {
        "claude-code-20250219",
        "effort-2025-11-24",
        "interleaved-thinking-2025-05-14",
        "thinking-token-count-2026-05-13",
        "tool-search-tool-2025-10-19",
        "web-search-2025-03-05",
    }
)
#: Forwarded to Vertex AI by another gateway.
_FORWARDED_BY_OTHERS: Final = frozenset(
    {
        "afk-mode-2026-01-31",
        "compact-2026-01-12",
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "dangerous-tool-use-2026-09-03",
        "fallback-credit-2026-06-01",
        "fallback-credit-2026-07-01",
        "fine-grained-tool-streaming-2025-05-14",
        "mid-conversation-output-config-2026-07-01",
        "mid-conversation-system-clear-at-2026-08-21",
        "mid-conversation-tool-changes-2026-07-01",
        "model-context-window-exceeded-2025-08-26",
        "output-128k-2025-02-19",
        "pdfs-2024-09-25",
        "per-turn-control-2026-07-01",
        "structured-outputs-2025-11-13",
        "structured-outputs-2025-12-15",
        "task-budgets-2026-03-13",
        "thinking-binding-controls-2026-08-01",
        "thinking-display-updates-2026-08-18",
        "token-counting-2024-11-01",
        "token-efficient-tools-2025-02-19",
        "tool-examples-2025-10-29",
    }
)
#: Known to work in the header only; in the body's ``anthropic_beta`` they have no effect.
HEADER_ONLY: Final = frozenset(
    {
        "compact-2026-09-04",
        "extended-cache-ttl-2025-04-11",
        "inline-tools-2026-09-15",
        "oauth-2025-04-20",
        "prompt-caching-2024-07-31",
        "prompt-caching-scope-2026-01-05",
        "redact-thinking-2026-02-12",
    }
)
FAST_MODE: Final = "fast-mode-2026-02-01"
TOOL_SEARCH: Final = "tool-search-tool-2025-10-19"
KNOWN: Final = _SENT_BY_CLAUDE_CODE | _FORWARDED_BY_OTHERS | HEADER_ONLY | {FAST_MODE}
#: Features that Vertex AI does not have, whatever their version.
_NOT_SERVED: Final = (
    "advanced-tool-use-",
    "advisor-tool-",
    "cache-diagnosis-",
    "code-execution-",
    "files-api-",
    "managed-agents-",
    "mcp-client-",
    "message-batches-",
    "message-threads-",
    "output-300k-",
    "server-side-fallback-",
    "skills-",
    "web-fetch-",
)


class BetaPolicy(Struct, frozen=True, kw_only=True):
    """What the emulator refuses in addition to what Vertex AI refuses.

    :param strict: refuse every value that is not in ``KNOWN``.
    :param refused: ``value`` or ``value@location``; globs are allowed in both.
    """

    strict: bool = False
    refused: tuple[str, ...] = ()

    def refuses(self, beta: str, card: ModelCard, location: str) -> bool:
        if beta.startswith(_NOT_SERVED):
            return True
        if beta.startswith("fast-mode-") and not card.fast_mode:
            return True
        if beta == TOOL_SEARCH and not is_4_5_or_newer(card):
            return True
        if self.strict and beta not in KNOWN:
            return True
        return any(_matches(pattern, beta, location) for pattern in self.refused)


def _matches(pattern: str, beta: str, location: str) -> bool:
    value, _, where = pattern.partition("@")
    return fnmatchcase(beta, value) and fnmatchcase(location, where or "*")


def enabled_betas(
    header: str, in_body: object, *, card: ModelCard, location: str, policy: BetaPolicy
) -> frozenset[str]:
    """The betas a request enables.

    :raises ApiError: one of them is refused.
    """
    from_header = names_in(header)
    from_body = _names(str(name) for name in in_body) if isinstance(in_body, list) else []
    for names, where in ((from_header, "header"), (from_body, "body")):
        refused = [name for name in names if policy.refuses(name, card, location)]
        if refused:
            raise _unexpected(refused, where)
    return frozenset(from_header) | (frozenset(from_body) - HEADER_ONLY)


def check_no_betas(header: str) -> None:
    """Token counting accepts no beta.

    :raises ApiError: there is one.
    """
    names = names_in(header)
    if names:
        raise _unexpected(names, "header")


def names_in(header: str) -> list[str]:
    """The values of an ``anthropic-beta`` header, in order."""
    return _names(header.split(","))


def _names(values: Iterable[str]) -> list[str]:
    return [name for name in (each.strip() for each in values) if name]


def _unexpected(names: list[str], where: str) -> ApiError:
    """The real words, as quoted in BerriAI/litellm#39597."""
    quoted = ", ".join(f"`{name}`" for name in names)
    source = "`anthropic-beta` header" if where == "header" else "`anthropic_beta` field"
    return invalid_request(
        f"Unexpected value(s) {quoted} for the {source}. Please consult our documentation at platform.claude.com/docs "
        f"or try again without the {where if where == 'header' else 'field'}."
    )
