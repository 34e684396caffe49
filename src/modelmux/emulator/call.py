"""One model call, parsed: its target, the model's card, and typed access to its body.

Not in this module: whether the call is valid; see ``validation``.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from modelmux.catalog import ModelCard
from modelmux.emulator.model_facts import context_window

CLASSIC: Final = "vertex-2023-10-16"
NEW_API: Final = "2026-10-21"
VERSIONS: Final = (CLASSIC, NEW_API)


class EmulatedCall(Struct, kw_only=True):
    """``model`` is the id as written in the URL (or, for token counting, in the body)."""

    project: str
    location: str
    model: str
    card: ModelCard
    body: dict[str, Any]
    betas: frozenset[str] = frozenset()
    streaming: bool = False
    counting: bool = False

    @property
    def first_party_id(self) -> str:
        """The dated form of the model id, as replies give it."""
        return self.card.id.replace("@", "-")

    @property
    def context_window(self) -> int:
        """The context window of the model under the betas of the call."""
        return context_window(self.card, self.betas)

    @property
    def tools(self) -> list[dict[str, Any]]:
        return self.body.get("tools") or []

    @property
    def tool_choice(self) -> dict[str, Any]:
        return self.body.get("tool_choice") or {}

    @property
    def forced(self) -> bool:
        """Whether the model must call a tool."""
        return self.tool_choice.get("type") in ("any", "tool")

    @property
    def speed(self) -> str | None:
        """The requested ``speed``, on models that have fast mode."""
        speed = self.body.get("speed")
        return speed if isinstance(speed, str) else None

    @property
    def quota_lineage(self) -> str:
        """The lineage whose quota the call uses; fast mode has a bucket of its own."""
        return f"{self.card.lineage}-fast" if self.speed == "fast" else self.card.lineage

    @property
    def effort(self) -> str | None:
        config = self.body.get("output_config") or {}
        effort = config.get("effort") or self.card.effort_default
        return effort if isinstance(effort, str) else None

    @property
    def output_schema(self) -> dict[str, Any] | None:
        """Schema of ``output_config.format``, if set."""
        output_format = (self.body.get("output_config") or {}).get("format")
        return output_format.get("schema") if isinstance(output_format, dict) else None

    @property
    def thinking_type(self) -> str:
        """The thinking mode: the requested one, else the model's default; ``disabled`` without thinking."""
        thinking = self.body.get("thinking")
        if isinstance(thinking, dict) and thinking.get("type"):
            return str(thinking["type"])
        return "adaptive" if self.card.thinking_default == "on" else "disabled"

    @property
    def thinking_on(self) -> bool:
        return self.thinking_type in ("adaptive", "enabled", "between_tools")

    @property
    def display(self) -> str:
        thinking = self.body.get("thinking")
        display = thinking.get("display") if isinstance(thinking, dict) else None
        return str(display or self.card.display_default)

    @property
    def drops_mismatched(self) -> bool:
        """Whether the client asked to have thinking blocks of another conversation dropped."""
        thinking = self.body.get("thinking")
        signatures = thinking.get("block_binding") if isinstance(thinking, dict) else None
        return isinstance(signatures, dict) and signatures.get("prefix_mismatch_behavior") == "drop_block"

    @property
    def commentary_in_thinking(self) -> bool:
        """Whether the model puts text before tool calls into thinking blocks (Opus 5.5, Sonnet 5.5, Fable 5.1).

        The catalog has no field for it; these are exactly the models with preserved thinking that always think.
        """
        return self.card.preserved_thinking and self.card.thinking_default == "on"
