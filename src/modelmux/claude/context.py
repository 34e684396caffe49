"""What one translation carries from the request to the reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from modelmux.catalog import ModelCard
from modelmux.claude.notices import Notice, Notices
from modelmux.wire.anthropic import (
    DocumentBlock,
    ImageBlock,
    MessagesRequest,
    RedactedThinkingBlock,
    ThinkingBlock,
)

Thought = ThinkingBlock | RedactedThinkingBlock
#: Thinking blocks that came right before a tool call, by the call's id; None when nothing is known of the call.
Recall = Callable[[str], "tuple[Thought, ...] | None"]
#: What was fetched for the URLs of a request.
Assets = Mapping[str, "ImageBlock | DocumentBlock"]


class Options(Struct, frozen=True):
    """What an operator may choose for a route.

    :param forced_tool_choice: on a model that cannot be forced: refuse, or leave the choice to it.
    :param prefill: a trailing assistant message on a model that cannot continue it: refuse, or ask it to go on.
    :param caching: set prompt-cache breakpoints where the client sets none and they pay.
    """

    forced_tool_choice: Literal["error", "downgrade"] = "error"
    prefill: Literal["error", "continue"] = "error"
    caching: bool = True


class ReplyShape(Struct, frozen=True):
    """How the reply has to look, decided when the request was read.

    :param tool_names: Vertex AI's name of a tool -> the client's own, for renamed ones only.
    :param custom_tools: names (Vertex AI's) of tools that take free text.
    :param json_tool: the tool whose input is the answer itself.
    :param legacy_function: answer with ``function_call`` instead of ``tool_calls``.
    :param strip_fences: take a code fence off around the answer.
    :param show_reasoning: False leaves reasoning out.
    :param continue_paused: how often a reply that pauses for its server tools is continued.
    :param service_tier: the one that served, for a client that named one.
    """

    model: str
    include_usage: bool = False
    tool_names: dict[str, str] = {}
    custom_tools: frozenset[str] = frozenset()
    json_tool: str | None = None
    legacy_function: bool = False
    strip_fences: bool = False
    show_reasoning: bool = True
    continue_paused: int = 0
    service_tier: str | UnsetType = UNSET


def _nothing(_: str) -> None:
    return None


class Context:
    """The model's card, the route's options and the notices of one request, passed down through the translation."""

    __slots__ = ("assets", "card", "custom_tools", "notices", "options", "recall", "tool_names")

    def __init__(
        self,
        card: ModelCard,
        options: Options | None = None,
        *,
        recall: Recall = _nothing,
        assets: Assets | None = None,
    ) -> None:
        self.card = card
        self.options = options or Options()
        self.notices = Notices()
        self.recall = recall
        self.assets = assets or {}
        #: Vertex AI's name -> client's name, for renamed tools only.
        self.tool_names: dict[str, str] = {}
        #: Vertex AI's names of tools that take free text.
        self.custom_tools: set[str] = set()


class Translated(Struct, frozen=True):
    """A request ready for the upstream, with what is needed to translate the reply.

    :param betas: values of the ``anthropic-beta`` header that the body needs.
    """

    body: MessagesRequest
    shape: ReplyShape
    notices: list[Notice]
    betas: tuple[str, ...] = ()
