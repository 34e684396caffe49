"""The model catalogue that Codex reads (``model_catalog_json`` in its ``config.toml``). Pure.

Without it, Codex takes a model that it does not know for one with a small context window and no ``apply_patch``, and
says so at each start. Field names and values are those that codex-cli 0.171.0 requires and prints with
``codex debug models``: one missing field, or one value that it does not know, fails the whole file, and Codex does not
start. It ignores unknown fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from modelmux.catalog import ModelCard
from modelmux.claude.thinking import BUDGETS

#: Output of a tool that Codex sends to the model, at most; as for OpenAI's own models.
_TOOL_OUTPUT_TOKENS: Final = 10_000
#: Codex compacts a conversation at the latest when it fills so much of the context window.
_COMPACT_PERCENT: Final = 90
#: What models are offered that think by budget.
_BUDGET_LEVELS: Final = ("low", "medium", "high")
_DESCRIPTIONS: Final = {
    "none": "No thinking",
    "low": "Little thinking, fast answers",
    "medium": "A balance of speed and depth",
    "high": "Thorough thinking for hard problems",
    "xhigh": "More thinking, for the hardest problems",
    "max": "As much thinking as the model can do",
}


def codex_catalog(served: Mapping[str, ModelCard]) -> dict[str, Any]:
    """The content of the file.

    :param served: names that the gateway serves -> model, the most important first.
    """
    instructions = resources.files(__package__).joinpath("base_instructions.md").read_text("utf-8")
    return {"models": [_entry(name, card, rank, instructions) for rank, (name, card) in enumerate(served.items())]}


def _entry(name: str, card: ModelCard, rank: int, instructions: str) -> dict[str, Any]:
    title = card.display_name or card.base
    return {
        "slug": name,
        "display_name": title if name == card.base else f"{title} ({name})",
        "description": f"{title} on Vertex AI, through ModelMux.",
        "default_reasoning_level": card.effort_default,
        "supported_reasoning_levels": [
            {"effort": level, "description": _DESCRIPTIONS[level]} for level in reasoning_levels(card)
        ],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": rank,
        "upgrade": None,
        "base_instructions": instructions,
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": "freeform",
        "truncation_policy": {"mode": "tokens", "limit": _TOOL_OUTPUT_TOKENS},
        "context_window": card.context_window,
        "max_context_window": card.context_window,
        "auto_compact_token_limit": _compact_at(card),
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"],
        # Required by versions before 0.171, which ignores them.
        "supports_parallel_tool_calls": True,
        "supports_reasoning_summaries": bool(card.thinking),
    }


def reasoning_levels(card: ModelCard) -> list[str]:
    """The values of ``reasoning.effort`` that make a difference to a model."""
    levels: list[str] = list(card.effort)
    if not levels and card.thinking:
        levels = [level for level in _BUDGET_LEVELS if BUDGETS[level] < card.max_output]
    return ["none", *levels] if "disabled" in card.thinking else levels


def _compact_at(card: ModelCard) -> int:
    """Tokens at which Codex compacts: the longest reply has to fit in as well, because Codex sets no limit to it."""
    return min(card.context_window * _COMPACT_PERCENT // 100, card.context_window - card.max_output)
