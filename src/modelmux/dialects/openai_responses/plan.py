"""How a reply is shown as a response object: what the encoder needs to know about the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.sealer import Sealer
from modelmux.dialects.stored_responses import StoredItem

#: How a tool call is shown: each type is an item of its own.
ToolType = Literal["function", "custom", "local_shell", "shell", "apply_patch"]


class ClientTool(Struct, frozen=True):
    """A tool as the client knows it.

    :param name: its own name, without the namespace.
    """

    type: ToolType
    name: str
    namespace: str | None = None


class Echo(Struct, frozen=True, kw_only=True):
    """Fields of a response object that repeat the request, with OpenAI's defaults. Values keep the client's JSON."""

    instructions: Any = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: Any = {}
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: Any = field(default_factory=lambda: {"effort": None, "summary": None})
    safety_identifier: str | None = None
    text: Any = field(default_factory=lambda: {"format": {"type": "text"}, "verbosity": "medium"})
    tool_choice: Any = "auto"
    tools: Any = []
    truncation: str = "disabled"
    user: str | None = None


class ResponsesPlan(ReplyPlan, frozen=True, kw_only=True):
    """See the module.

    :param tools: upstream name of a tool -> the client's. Holds every declared tool; and, by its bare name, each member
        of a namespace whose bare name is unambiguous, because models call members by it.
    :param owner: whom the sealed content of the reply belongs to.
    :param sealer: None if nothing can be sealed: then thinking cannot be sent back.
    :param shows_encrypted: ``encrypted_content`` is part of the items that the client gets.
    :param store: the response is to be stored; repeated to the client as ``store``.
    :param input_items: the items of the request itself, to be stored.
    :param compaction: the reply is the summary of a conversation: ``item`` shows it as one compaction item of a
        response, ``object`` as OpenAI's ``response.compaction`` object.
    :param refusal_as_text: a refusal is shown as text, for clients that show nothing of a refusal part.
    :param sends_done: a stream ends with ``data: [DONE]``.
    :param web_search_items: show the web searches of the model as items.
    """

    tools: Mapping[str, ClientTool] = {}
    echo: Echo = Echo()
    owner: str = "anonymous"
    sealer: Sealer | None = None
    shows_encrypted: bool = False
    store: bool = False
    input_items: tuple[StoredItem, ...] = ()
    compaction: Literal["item", "object"] | None = None
    refusal_as_text: bool = False
    sends_done: bool = False
    web_search_items: bool = False
