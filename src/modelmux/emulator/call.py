"""One call of a model, parsed: where it went, which card the model has, what its body says.

Reading helpers only; whether the call is legal is decided by the ``check_*`` modules.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from modelmux.catalog import ModelCard

CLASSIC: Final = "vertex-2023-10-16"
NEW_API: Final = "2026-10-21"
VERSIONS: Final = (CLASSIC, NEW_API)


class Call(Struct, kw_only=True):
    """``model`` is the id as it stood in the URL (or, for token counting, in the body)."""

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
        """The dated form in which replies name the model."""
        return self.card.id.replace("@", "-")

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
    def effort(self) -> str | None:
        config = self.body.get("output_config") or {}
        effort = config.get("effort") or self.card.effort_default
        return effort if isinstance(effort, str) else None

    @property
    def output_schema(self) -> dict[str, Any] | None:
        """Schema of ``output_config.format``, when there is one."""
        wanted = (self.body.get("output_config") or {}).get("format")
        return wanted.get("schema") if isinstance(wanted, dict) else None

    @property
    def thinking_type(self) -> str:
        """The mode in force: what was asked for, else the model's default; ``disabled`` when it does not think."""
        asked = self.body.get("thinking")
        if isinstance(asked, dict) and asked.get("type"):
            return str(asked["type"])
        return "adaptive" if self.card.thinking_default == "on" else "disabled"

    @property
    def thinking_on(self) -> bool:
        return self.thinking_type in ("adaptive", "enabled", "between_tools")

    @property
    def display(self) -> str:
        asked = self.body.get("thinking")
        chosen = asked.get("display") if isinstance(asked, dict) else None
        return str(chosen or self.card.display_default)

    @property
    def drops_mismatched(self) -> bool:
        """Whether the client asked that thinking blocks of another conversation be dropped."""
        asked = self.body.get("thinking")
        binding = asked.get("block_binding") if isinstance(asked, dict) else None
        return isinstance(binding, dict) and binding.get("prefix_mismatch_behavior") == "drop_block"

    @property
    def commentary_in_thinking(self) -> bool:
        """Models that put the text between tool calls into thinking blocks (Opus 5.5, Sonnet 5.5, Fable 5.1).

        No catalog field says so; these are exactly the models with preserved thinking that always think.
        """
        return self.card.preserved_thinking and self.card.thinking_default == "on"
