"""What one translation carries from the request to the reply."""

from __future__ import annotations

from msgspec import Struct

from modelmux.catalog import ModelCard
from modelmux.translate.notices import Notice, Notices
from modelmux.wire.anthropic import MessagesRequest


class ReplyShape(Struct, frozen=True):
    """How the reply has to look, decided when the request was read.

    ``tool_names`` maps the names Vertex AI knows back to the client's own; it holds only renamed ones.
    """

    model: str
    include_usage: bool = False
    tool_names: dict[str, str] = {}


class Context:
    """The model's card and the notices of one request, passed down through the translation."""

    __slots__ = ("card", "notices", "tool_names")

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.notices = Notices()
        #: Vertex AI's name -> client's name, for renamed tools only.
        self.tool_names: dict[str, str] = {}


class Translated(Struct, frozen=True):
    """A request ready for the upstream, with what is needed to translate the reply."""

    body: MessagesRequest
    shape: ReplyShape
    notices: list[Notice]
