"""Fields that Vertex AI spells otherwise, does not accept, or does not offer."""

from __future__ import annotations

from typing import Any, Final

from modelmux.catalog.betas import betas
from modelmux.providers.vertex_claude.native.draft import NativeDraft, refuse

#: Removed: they change how a request is handled or billed, not what is asked.
REMOVED: Final = (
    "tags", "diagnostics", "user_profile_id", "workspace_id", "billing_policy", "inference_geo", "service_tier",
    "fallback_credit_token",
)  # fmt: skip
#: Rejected: without them the reply would silently be another one.
REJECTED: Final = {
    "mcp_servers": "the MCP connector",
    "container": "containers and skills",
    "fallbacks": "fallbacks on the server",
    "thread": "message threads",
}
#: By these the SDKs' tool runners (anthropic 2.14, @anthropic-ai/sdk 1.14) learn that there are no message threads, and
#: send the whole conversation from then on.
_DETAILS: Final = {"thread": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}}
_NOT_ON_VERTEX: Final = "Vertex AI does not accept this field."


def output_format(draft: NativeDraft) -> None:
    """The former name of ``output_config.format``."""
    if "output_format" not in draft.content:
        return
    draft.edits["output_format",] = None
    config, value = draft.content.get("output_config"), draft.content["output_format"]
    if isinstance(config, dict):
        if "format" not in config:
            draft.set(("output_config", "format"), value)
    elif config is None:
        draft.set(("output_config",), {"format": value})


def effort(draft: NativeDraft) -> None:
    """Models without effort reject it; clients send it to every model they do not know."""
    config = draft.content.get("output_config")
    if not draft.card.effort and draft.card.known and isinstance(config, dict) and "effort" in config:
        removes_all = len(config) == 1 and ("output_config", "format") not in draft.edits
        draft.remove(
            ("output_config",) if removes_all else ("output_config", "effort"), "This model has no effort setting."
        )


def cache_scope(draft: NativeDraft) -> None:
    """``scope`` of a cache marker; the rest of the marker stays."""
    marked: list[tuple[tuple[str | int, ...], Any]] = [((), draft.content), *draft.native.blocks]
    for path, block in marked:
        marker = block.get("cache_control")
        if isinstance(marker, dict) and "scope" in marker:
            draft.remove((*path, "cache_control", "scope"), _NOT_ON_VERTEX)


def removed(draft: NativeDraft) -> None:
    """See ``REMOVED``."""
    for field in REMOVED:
        if field in draft.content:
            draft.remove((field,), _NOT_ON_VERTEX)


def speed(draft: NativeDraft) -> None:
    """Fast mode, on models that have it on Google Cloud: elsewhere the reply comes at standard speed."""
    pair = betas().needed_by("speed")
    groups = [betas().find(beta) for beta in pair.betas] if pair is not None else []
    if "speed" in draft.content and not any(group is not None and group.serves(draft.card.id) for group in groups):
        draft.remove(("speed",), "This model has no fast mode on Google Cloud.")


def rejected(draft: NativeDraft) -> None:
    """:raises InvalidRequest: see ``REJECTED``."""
    for field, feature in REJECTED.items():
        if draft.content.get(field) not in (None, []):
            raise refuse(
                (field,),
                f"Claude on Google Cloud does not offer {feature}.",
                f"Leave {field} out.",
                details=_DETAILS.get(field),
            )


def url_sources(draft: NativeDraft) -> None:
    """Files that were downloaded."""
    draft.edits.update(draft.native.files)
