"""One request while the rules of ``prepare`` turn it into the body for one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec.structs import replace

from modelmux.catalog import ModelCard
from modelmux.claude.notices import Notices
from modelmux.claude.options import Options
from modelmux.claude.request import ClaudeRequest
from modelmux.claude.schema.work import request_work
from modelmux.wire.anthropic import RedactedThinkingBlock, ThinkingBlock, Tool

#: A signed block: opaque; it is sent back unchanged or not at all.
SignedThinking = ThinkingBlock | RedactedThinkingBlock
#: The thinking that came right before a tool call, by the client's id of the call; None if the call is unknown or came
#: from another model.
RecallThinking = Callable[[str], "tuple[SignedThinking, ...] | None"]


class Draft:
    """What a rule reads and changes.

    A rule assigns fields of ``body``, which is a copy; everything below those fields is shared with ``request`` and
    with the bodies for other models, and is replaced, never changed in place.

    :param other_model: thinking in the history may be that of another model.
    """

    __slots__ = (
        "answer_tool", "betas", "body", "card", "notices", "options", "other_model", "property_names",
        "recall", "request", "schema_work",
    )  # fmt: skip

    def __init__(
        self,
        request: ClaudeRequest,
        card: ModelCard,
        options: Options,
        recall: RecallThinking,
        *,
        other_model: bool = False,
    ) -> None:
        self.request = request
        self.body = replace(request.body)
        self.card = card
        self.options = options
        self.recall = recall
        self.other_model = other_model
        self.notices = Notices(request.notices)
        #: What is left for all schemas.
        self.schema_work = request_work()
        #: The tool whose input is the answer, where the model or the schema requires one.
        self.answer_tool: Tool | None = None
        #: See ``ReplyPlan``.
        self.property_names: Mapping[str, Mapping[str, str]] = {}
        #: Values of the ``anthropic-beta`` header that the body needs.
        self.betas: tuple[str, ...] = ()


class Rule(Protocol):
    """One step of ``prepare``. Each sees what the ones before it did.

    :raises InvalidRequest: the model cannot do what the client asks for.
    """

    def __call__(self, draft: Draft) -> None: ...
