"""The items of a client's tool calls, each in the form of its tool, and those of web searches."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from modelmux.dialects.openai_responses.json_string import InputString
from modelmux.dialects.openai_responses.output import Output
from modelmux.dialects.openai_responses.plan import ClientTool
from modelmux.dialects.openai_shared.tool_input import initial_arguments
from modelmux.wire import anthropic
from modelmux.wire.openai import responses_reply as wire


class OpenCall:
    """A tool call under way. ``close`` follows only when the next block begins or the reply ends, because only then
    is it known whether the call was cut off."""

    __slots__ = ("_any", "_block", "_output", "_tool")

    def __init__(self, output: Output, tool: ClientTool, block: anthropic.Block) -> None:
        self._output = output
        self._tool = tool
        self._block = block
        self._any = False

    def add_arguments(self, text: str | None) -> None:
        if text:
            self._any = True
            self._add(text)

    def close(self, status: wire.ItemStatus) -> None:
        """The end of the item."""
        if not self._any:
            self._add(initial_arguments(self._block) or "{}")
        self._close(status)

    def _add(self, text: str) -> None:
        raise NotImplementedError

    def _close(self, status: wire.ItemStatus) -> None:
        raise NotImplementedError


class OpenFunctionCall(OpenCall):
    """A call of a function. Its arguments are the upstream's own text."""

    __slots__ = ("_arguments", "_frames", "_item", "_position")

    def __init__(self, output: Output, tool: ClientTool, block: anthropic.Block) -> None:
        super().__init__(output, tool, block)
        self._arguments: list[str] = []
        self._item = wire.FunctionCallItem(
            id=output.new_id("fc"), call_id=block.id or "", name=tool.name, namespace=tool.namespace or UNSET,
            status="in_progress",
        )  # fmt: skip
        self._position = {"item_id": self._item.id, "output_index": output.index}
        self._frames = wire.DeltaFrames("response.function_call_arguments.delta", self._position)
        output.added(self._item)

    def _add(self, text: str) -> None:
        self._arguments.append(text)
        self._output.emit_delta(self._frames, wire.encode(text)[1:-1])

    def _close(self, status: wire.ItemStatus) -> None:
        item = self._item
        item.arguments, item.status = "".join(self._arguments), status
        self._output.emit("response.function_call_arguments.done", **self._position, arguments=item.arguments)
        self._output.done(item)


class OpenCustomCall(OpenCall):
    """A call of a custom tool: its text is the string in the arguments."""

    __slots__ = ("_frames", "_input", "_item", "_position", "_texts")

    def __init__(self, output: Output, tool: ClientTool, block: anthropic.Block) -> None:
        super().__init__(output, tool, block)
        self._input = InputString()
        self._texts: list[str] = []
        self._item = wire.CustomToolCallItem(
            id=output.new_id("ctc"), call_id=block.id or "", name=tool.name, namespace=tool.namespace or UNSET,
            status="in_progress",
        )  # fmt: skip
        self._position = {"item_id": self._item.id, "output_index": output.index}
        self._frames = wire.DeltaFrames("response.custom_tool_call_input.delta", self._position)
        output.added(self._item)

    def _add(self, text: str) -> None:
        self._write(self._input.feed(text))

    def _close(self, status: wire.ItemStatus) -> None:
        self._write(self._input.finish())
        item = self._item
        item.input, item.status = "".join(self._texts), status
        self._output.emit("response.custom_tool_call_input.done", **self._position, input=item.input)
        self._output.done(item)

    def _write(self, text: str) -> None:
        if text:
            self._texts.append(text)
            self._output.emit_delta(self._frames, wire.encode(text)[1:-1])


class _LocalShellInput(Struct):
    command: list[str]
    env: dict[str, str] | None = None
    timeout_ms: int | None = None
    working_directory: str | None = None


class OpenStructuredCall(OpenCall):
    """A call of a tool whose item has fields instead of arguments: it is shown when they are complete. Arguments that
    do not fit are shown as those of a function, so that the model is told by the client."""

    __slots__ = ("_arguments",)

    def __init__(self, output: Output, tool: ClientTool, block: anthropic.Block) -> None:
        super().__init__(output, tool, block)
        self._arguments: list[str] = []

    def _add(self, text: str) -> None:
        self._arguments.append(text)

    def _close(self, status: wire.ItemStatus) -> None:
        arguments = "".join(self._arguments)
        try:
            item = self._item(arguments, status)
        except (msgspec.DecodeError, RecursionError):
            call = OpenFunctionCall(self._output, self._tool, self._block)
            call.add_arguments(arguments)
            call.close(status)
            return
        self._output.added(msgspec.structs.replace(item, status="in_progress"))
        self._output.done(item)

    def _item(self, arguments: str, status: wire.ItemStatus) -> wire.Item:
        """:raises msgspec.DecodeError: the arguments do not fit the tool."""
        output, call_id = self._output, self._block.id or ""
        if self._tool.type == "local_shell":
            shell = msgspec.json.decode(arguments, type=_LocalShellInput)
            action = wire.LocalShellAction(
                command=shell.command, env=shell.env or {}, timeout_ms=shell.timeout_ms,
                working_directory=shell.working_directory,
            )  # fmt: skip
            return wire.LocalShellCallItem(id=output.new_id("lsh"), call_id=call_id, action=action, status=status)
        if self._tool.type == "shell":
            commands = msgspec.json.decode(arguments, type=wire.ShellAction)
            return wire.ShellCallItem(id=output.new_id("sh"), call_id=call_id, action=commands, status=status)
        operation: wire.Operation = msgspec.json.decode(arguments, type=wire.Operation)
        id = output.new_id("apc")
        return wire.ApplyPatchCallItem(
            id=id, call_id=call_id, operation=operation, status="completed" if status == "completed" else "in_progress"
        )


class _SearchInput(Struct):
    query: str = ""


class OpenWebSearch:
    """A web search of the model. It is shown when its query is complete."""

    __slots__ = ("_arguments", "_block", "_failed", "_item", "_output")

    def __init__(self, output: Output, block: anthropic.Block) -> None:
        self._output = output
        self._block = block
        self._arguments: list[str] = []
        self._failed = False
        self._item: wire.WebSearchCallItem | None = None

    def add_arguments(self, text: str | None) -> None:
        if text:
            self._arguments.append(text)

    def end_block(self) -> None:
        """The query is complete: the search begins."""
        if self._item is not None:
            return
        arguments = "".join(self._arguments) or initial_arguments(self._block) or "{}"
        try:
            query = msgspec.json.decode(arguments, type=_SearchInput).query
        except (msgspec.DecodeError, RecursionError):
            query = ""
        item = self._item = wire.WebSearchCallItem(
            id=self._output.new_id("ws"), status="in_progress", action=wire.SearchAction(query, [query])
        )
        self._output.added(item)
        self._emit(item, "in_progress")
        self._emit(item, "searching")

    def read_result(self, block: anthropic.Block) -> None:
        """The result of the search: a list of pages, or an error."""
        self._failed = bytes(block.content).lstrip()[:1] == b"{" if isinstance(block.content, msgspec.Raw) else False

    def close(self, status: wire.ItemStatus) -> None:
        """The end of the item; of a search that was cut off, too."""
        del status
        self.end_block()
        item = self._item
        assert item is not None
        self._emit(item, "completed")
        item.status = "failed" if self._failed else "completed"
        self._output.done(item)

    def _emit(self, item: wire.WebSearchCallItem, state: str) -> None:
        self._output.emit(f"response.web_search_call.{state}", item_id=item.id, output_index=self._output.index)


_CALLS: Final[dict[str, type[OpenCall]]] = {"function": OpenFunctionCall, "custom": OpenCustomCall}


def open_call(output: Output, tool: ClientTool, block: anthropic.Block) -> OpenCall:
    """The item of a call, in the form of its tool."""
    call: Any = _CALLS.get(tool.type, OpenStructuredCall)
    result: OpenCall = call(output, tool, block)
    return result
