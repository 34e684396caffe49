"""A request in the canonical form: Anthropic Messages, independent of client dialects and of models.

Every dialect decodes into ``ClaudeRequest``; ``prepare`` turns it into the body for one model. It is prepared again
for every model a route may fall back to, so nothing in it is ever changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from modelmux.claude.notices import Notice
from modelmux.wire.anthropic import CacheControl, MessagesRequest, RedactedThinkingBlock, ThinkingBlock, WebSearch

Level = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
LEVELS: Final[tuple[Level, ...]] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: ``max_tokens`` of a client that sets no limit: the model's own limit is used.
NO_LIMIT: Final = 0


class ReasoningRequest(Struct, frozen=True):
    """How much reasoning the client asks for.

    :param level: None leaves the amount to the model.
    :param budget: in tokens, where the client named one.
    :param exact: the budget is in Anthropic's own form: it is sent as it is to a model that has budgets.
    :param shown: whether the client wants to see the reasoning; None if it does not say. Then it is shown where the
        model's text between tool calls is part of it.
    :param optional: whether to think is left to the model.
    :param budget_field: path of the client's field with the budget.
    """

    level: Level | None = None
    budget: int | None = None
    shown: bool | None = True
    optional: bool = False
    exact: bool = False
    budget_field: str = "reasoning"


class AnswerFormat(Struct, frozen=True):
    """The format the client asks for.

    :param schema: JSON Schema of the answer; None asks for any JSON object.
    """

    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None


class CacheOptions(Struct, frozen=True):
    """The client's options for prompt caching, in addition to the breakpoints on its blocks.

    :param prompt_breakpoint: a breakpoint at the end of the prompt.
    :param orphan_breakpoint: a breakpoint on a system prompt without text.
    :param explicit: only the client's own breakpoints are wanted.
    :param ttl: the lifetime of all breakpoints; None leaves each its own.
    """

    prompt_breakpoint: CacheControl | None = None
    orphan_breakpoint: CacheControl | None = None
    explicit: bool = False
    ttl: Literal["5m", "1h"] | None = None


class RemoteFile(Struct, frozen=True):
    """A URL whose content has to be downloaded: Vertex AI accepts no URL sources.

    :param kind: the block it is used in. A URL used in both kinds is listed twice.
    :param field: the client's path of the field that holds it, at its first occurrence.
    """

    url: str
    kind: Literal["image", "document"]
    field: str


def fields_of_urls(files: Iterable[RemoteFile]) -> dict[str, str]:
    """The URLs of files, in order, with the field of each one's first occurrence."""
    urls: dict[str, str] = {}
    for file in files:
        urls.setdefault(file.url, file.field)
    return urls


class LateSystem(Struct, frozen=True):
    """A system turn inside the conversation, which not every model supports.

    :param turn: its index in ``messages``.
    :param fields: fields of the client's messages in it.
    :param placeholder: the assistant turn after it begins with a placeholder that only the system turn requires.
    """

    turn: int
    fields: tuple[str, ...]
    placeholder: bool = False


class ThinkingRun(Struct, frozen=True):
    """Signed thinking that came back with proof of its origin.

    :param model: the catalog's id of the model that it came from.
    :param index: its place among the runs of thinking of its response, from 0.
    :param blocks: adjacent blocks of one reply, as they came.
    """

    model: str
    response_id: str
    index: int
    blocks: tuple[ThinkingBlock | RedactedThinkingBlock, ...]


class FieldNames(Struct, frozen=True):
    """The client's names of the fields that notices and errors mention. The defaults are those of Messages.

    :param max_tokens: the fields that set the limit.
    :param messages: the field that holds the conversation.
    :param tools: path of each tool by its upstream name.
    :param tool_schema: name of the schema inside a tool.
    :param tool_members: path of a tool's member by these names -> the client's, where it has another one.
    :param tool_names: the client's name of each tool that has another one upstream, by that.
    :param stop, user, reasoning: fields that hold the stop sequences, the user and how much to think; None if the
        client did not say it.
    :param stop_paths: path of each stop sequence that is sent.
    """

    max_tokens: tuple[str, ...] = ("max_tokens",)
    messages: str = "messages"
    tools: Mapping[str, str] = {}
    tool_schema: str = "input_schema"
    tool_members: Mapping[str, str] = {}
    answer_format: str = "output_config.format"
    answer_schema: str = "output_config.format.schema"
    web_search: str = "tools"
    tool_names: Mapping[str, str] = {}
    stop: str = "stop_sequences"
    stop_paths: tuple[str, ...] = ()
    user: str = "metadata.user_id"
    reasoning: str | None = None

    def tool_member(self, tool: str, member: str) -> str:
        """The client's path of a member of a tool.

        :param tool: its upstream name, one of ``tools``.
        """
        path = f"{self.tools[tool]}.{member}"
        return self.tool_members.get(path, path)

    def schema_of(self, tool: str) -> str:
        """The client's path of the schema of a tool, which has one of the names of ``tools``."""
        return self.tool_member(tool, self.tool_schema)


class Origins:
    """Blocks of a request in order, each with the path of the client's message that it came from.

    Only errors ask for them, so the client's path is found then.
    All are equal: two requests that ask for the same are the same, wherever their messages came from.

    :param client_path: the client's path for one in ``origins``.
    """

    __slots__ = ("_client_path", "_origins")

    def __init__(self, origins: Iterable[tuple[Any, str]] = (), client_path: Callable[[str], str] = str) -> None:
        self._origins = tuple(origins)
        self._client_path = client_path

    def in_client_terms(self, client_path: Callable[[str], str]) -> Origins:
        """The same blocks, with paths that the client knows."""
        return Origins(self._origins, client_path)

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        return ((block, self._client_path(path)) for block, path in self._origins)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origins)

    def __hash__(self) -> int:
        return 0


class ClaudeRequest(Struct, frozen=True):
    """A request for a Claude model.

    :param body: the request as a Messages body. It may exceed what a given model accepts.
    :param effort: what the client asks for apart from thinking; None leaves it to ``reasoning``.
    :param late_system: system turns inside the conversation, in order.
    :param tool_aliases: other names by which a model may call a tool -> its own.
    :param client_ids: id of a tool call -> the client's own id, where the two differ.
    :param ends_in_cut_reply: a trailing assistant message is what came of a reply that was cut off, and not the
        beginning of an answer.
    :param thinking_runs: the thinking in ``body`` in order, if its origin is known; it consists of nothing else then.
    :param returns_thinking: the client sends thinking back by itself: what is not in ``body`` is to be left out.
    :param notices: what was changed so far.
    :param origins: of the blocks of ``body``.
    """

    body: MessagesRequest
    reasoning: ReasoningRequest | None = None
    effort: Level | None = None
    answer_format: AnswerFormat | None = None
    web_search: WebSearch | None = None
    cache: CacheOptions = CacheOptions()
    late_system: tuple[LateSystem, ...] = ()
    tool_aliases: Mapping[str, str] = {}
    client_ids: Mapping[str, str] = {}
    remote_files: tuple[RemoteFile, ...] = ()
    fields: FieldNames = FieldNames()
    ends_in_cut_reply: bool = False
    thinking_runs: tuple[ThinkingRun, ...] = ()
    returns_thinking: bool = False
    notices: tuple[Notice, ...] = ()
    origins: Origins = Origins()

    @property
    def urls(self) -> dict[str, str]:
        """The URLs to download, in order, with the field of each one's first occurrence."""
        return fields_of_urls(self.remote_files)
