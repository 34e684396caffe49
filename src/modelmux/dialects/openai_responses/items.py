"""The conversation: a client's items in any order -> the turns Anthropic accepts.

Append-only: what an item becomes depends on what came before it (see ``claude/conversation.py``), so the translation
of a longer conversation starts with that of every shorter one (tests/properties).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

import msgspec

from modelmux.claude.conversation import NO_CONTENT, ConversationBuilder
from modelmux.claude.prefill import CUT_REPLY, continue_turn
from modelmux.claude.request import ThinkingRun
from modelmux.dialects.openai_responses.content import result_content, text_blocks, user_blocks
from modelmux.dialects.openai_responses.entries import Entry
from modelmux.dialects.openai_responses.item_support import ITEM_SUPPORT, NEVER_LAST
from modelmux.dialects.openai_responses.local_tools import call_input, shell_output
from modelmux.dialects.openai_responses.returned_thinking import open_runs
from modelmux.dialects.openai_responses.sealed import open_summary
from modelmux.dialects.openai_responses.tools import ToolTable
from modelmux.dialects.openai_shared.arguments import decode_arguments
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.media import drop_blank_text
from modelmux.dialects.sealer import Sealer
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai import responses_items as wire
from modelmux.wire.openai.responses_items import decode_item, decode_output, decode_parts

_SYSTEM: Final = ("system", "developer")
#: The notice for thinking that is left out.
NOTHING_FOLLOWS: Final = "Thinking that nothing follows is not sent."


class ItemTranslator:
    """Adds items to a conversation, one after another.

    ``conversation`` holds the turns; ``system`` the blocks of the leading system messages, blank ones included;
    ``thinking`` the runs of thinking in the turns; ``effort`` what the last configuration update asks for;
    ``ends_in_output`` whether the last assistant message is an item of a response, rather than a client's own.
    """

    def __init__(self, ctx: TranslationContext, tools: ToolTable, sealer: Sealer | None, owner: str) -> None:
        self.conversation = ConversationBuilder(ctx.notices, field="input", parts=ctx.parts)
        self.system: list[anthropic.TextBlock] = []
        self.thinking: list[ThinkingRun] = []
        self.effort: Any = None
        self.ends_in_output = False
        self._ctx = ctx
        self._tools = tools
        self._sealer = sealer
        self._owner = owner
        self._leading = True
        self._calls: set[str] = set()
        self._pending: list[tuple[ThinkingRun, str]] = []
        self._response_id: str | None = None  # of the last thinking in the open assistant turn

    def add(self, entries: Sequence[Entry]) -> None:
        """Add a whole conversation.

        :raises InvalidRequest: an item of unknown type, or one that cannot be left out.
        """
        runs = open_runs(entries, self._sealer, self._owner, self._ctx.notices)
        for index, entry in enumerate(entries):
            if entry.type == "reasoning":
                self._leading = False
                if index in runs:
                    self._pending.append((runs[index], entry.path))
                continue
            self._add(entry, is_last=index == len(entries) - 1)
        self._drop_pending()

    def _add(self, entry: Entry, *, is_last: bool) -> None:
        self.conversation.path = entry.path
        handler = self.HANDLERS.get(entry.type)
        assert entry.raw is not None
        if handler is not None:
            shape, handle = handler
            handle(self, decode_item(shape, entry.raw, entry.path), entry)
            return
        support = ITEM_SUPPORT.get(entry.type)
        if support is None:
            raise InvalidRequest(
                f"Unknown item type '{entry.type[:80]}' at {_indexed(entry.path)}.",
                param=entry.path,
                hint="Leave it out; docs/compatibility.md of the gateway lists the types that it takes.",
            )
        if is_last and entry.type in NEVER_LAST:
            raise InvalidRequest(
                f"The last item is a '{entry.type}': what it asks for needs a service that this gateway does not run.",
                param=entry.path,
                hint="End with a message or with the output of a function.",
            )
        self._leading = False
        self._ctx.notices.add("dropped", entry.path, support.explanation)

    def _message(self, item: wire.MessageItem, entry: Entry) -> None:
        content, path = decode_parts(item.content, f"{entry.path}.content"), f"{entry.path}.content"
        if item.role in _SYSTEM:
            self._system(text_blocks(content, self._ctx, path), entry)
        elif item.role == "assistant":
            self._assistant_text(text_blocks(content, self._ctx, path))
            self.ends_in_output = entry.id is not None
        elif item.role == "user":
            self._user(user_blocks(content, self._ctx, path), path)
        else:
            raise InvalidRequest(
                f"Unknown role at '{entry.path}'.",
                param=f"{entry.path}.role",
                hint="Use user, assistant, system or developer.",
            )

    def _agent_message(self, item: wire.AgentMessageItem, entry: Entry) -> None:
        path = f"{entry.path}.content"
        self._user(list(text_blocks(decode_parts(item.content, path), self._ctx, path)), path)

    def _system(self, blocks: list[anthropic.TextBlock], entry: Entry) -> None:
        if self._leading:
            parts = self._ctx.parts
            self.system += [parts.add(block, parts.of(block, entry.path)) for block in blocks]
            return
        self._begin_user_item()
        texts, orphan = drop_blank_text(blocks)
        if texts:
            self.conversation.add_system(texts, f"{entry.path}.role")
        else:
            self.conversation.set_cache_breakpoint(orphan)

    def _user(self, content: list[Any], path: str) -> None:
        self._begin_user_item()
        blocks, orphan = drop_blank_text(content)
        if not blocks:
            self._ctx.notices.add("changed", path, "Empty content is replaced by a placeholder.")
            blocks = [anthropic.TextBlock(NO_CONTENT, orphan)]
        self.conversation.add_user(*blocks)

    def _assistant_text(self, content: list[anthropic.TextBlock]) -> None:
        """A message of the assistant. One without text is an empty reply, or was sent along with tool calls."""
        self._leading = False
        texts, orphan = drop_blank_text(content)
        if texts:
            self._begin_assistant_item()
            self.conversation.set_cache_breakpoint(orphan)
            self.conversation.add_assistant(*texts)
        elif not self.conversation.has_open_calls:
            self.conversation.close_user_turn()
            self.conversation.set_cache_breakpoint(orphan)
            self.conversation.end_reply()

    def _call(self, call_id: str, name: str, value: dict[str, Any], path: str) -> None:
        if call_id in self._calls:
            self._ctx.notices.add("dropped", path, "An earlier tool call has the same id.")
            return
        if call_id:
            self._calls.add(call_id)
        self._begin_assistant_item()
        self.conversation.add_tool_use(call_id, name, value, path)

    def _function_call(self, item: wire.FunctionCallItem, entry: Entry) -> None:
        name = self._tools.upstream(item.name, item.namespace, f"{entry.path}.name")
        value = decode_arguments(item.arguments, self._ctx.notices, f"{entry.path}.arguments")
        self._call(item.call_id or "", name, value, entry.path)

    def _custom_call(self, item: wire.CustomCallItem, entry: Entry) -> None:
        name = self._tools.upstream(item.name, item.namespace, f"{entry.path}.name")
        self._call(item.call_id or "", name, {"input": item.input or ""}, entry.path)

    def _local_call(self, item: wire.LocalCallItem, entry: Entry) -> None:
        kind = entry.type.removesuffix("_call")
        call_id = item.call_id or item.id or ""
        self._call(call_id, self._tools.local(kind), call_input(kind, item), entry.path)

    def _output(self, item: wire.OutputItem, entry: Entry) -> None:
        self._begin_user_item()
        path = f"{entry.path}.output"
        value, orphan = result_content(decode_output(bytes(item.output), path), self._ctx, path)
        self._result(item, value, entry, orphan)

    def _shell_output(self, item: wire.OutputItem, entry: Entry) -> None:
        text = shell_output(wire.decode_any(bytes(item.output), f"{entry.path}.output"))
        if text is None:
            self._output(item, entry)
            return
        self._begin_user_item()
        self._result(item, text or None, entry, None)

    def _result(
        self, item: wire.OutputItem, value: str | list[Any] | None, entry: Entry, marker: anthropic.CacheControl | None
    ) -> None:
        is_error = item.status in ("incomplete", "failed")
        call_id, field = item.call_id, f"{entry.path}.call_id"
        if call_id is None:  # local_shell_call_output of older clients has the id of the call as its own
            call_id, field = item.id or "", f"{entry.path}.id"
        self.conversation.add_tool_result(call_id, value, marker, field, is_error=is_error)

    def _compaction(self, item: wire.CompactionItem, entry: Entry) -> None:
        content = item.encrypted_content
        summary = open_summary(self._sealer, self._owner, content) if self._sealer is not None else None
        if summary is None:
            raise InvalidRequest(
                "Only a compaction that this gateway gave to this caller can be sent back.",
                param=f"{entry.path}.encrypted_content",
                hint="Send the conversation itself.",
            )
        self._begin_user_item()
        self.conversation.add_user(anthropic.TextBlock(f"<conversation_summary>\n{summary}\n</conversation_summary>"))

    def _additional_tools(self, item: wire.AdditionalToolsItem, entry: Entry) -> None:
        self._tools.add([bytes(raw) for raw in item.tools or ()], f"{entry.path}.tools", again=True)

    def _configuration_update(self, item: wire.ConfigurationUpdateItem, entry: Entry) -> None:
        self.effort = (item.reasoning or {}).get("effort", self.effort)
        reason = "The last configuration update applies to the whole request."
        self._ctx.notices.add("changed", entry.path, reason)

    def _compaction_trigger(self, item: wire.IgnoredItem, entry: Entry) -> None:
        del item
        self._ctx.notices.add("ignored", entry.path, "Only the last item can ask for a summary.")

    def _begin_user_item(self) -> None:
        self._leading = False
        self._response_id = None
        self._drop_pending()

    def _begin_assistant_item(self) -> None:
        """Before text or a call of the assistant: the thinking that led to it.

        Where the user did not speak between two responses, the first one was cut off, and the client asked again with
        what it had got. Each time the conversation is sent it becomes what it was then.
        """
        self._leading = False
        if self._pending:
            self._begin_response(self._pending[-1][0].response_id)
        self.conversation.close_user_turn()
        for run, _ in self._pending:
            self.conversation.add_assistant(*run.blocks)
            self.thinking.append(run)
        self._pending = []

    def _begin_response(self, id: str) -> None:
        """Leave out pending thinking of an earlier response, which is all that came of it; ask for the rest of one of
        which more came."""
        pending, self._pending = self._pending, []
        for run, path in pending:
            if run.response_id == id:
                self._pending.append((run, path))
            else:
                self._ctx.notices.add("dropped", path, NOTHING_FOLLOWS)
        if self._response_id not in (None, id):
            self._ctx.notices.add("added", self._pending[0][1], CUT_REPLY)
            self.conversation.close_user_turn()
            self.conversation.add_user(*continue_turn().content)
        self._response_id = id

    def _drop_pending(self) -> None:
        """A reply does not consist of thinking alone, or end with it."""
        for _, path in self._pending:
            self._ctx.notices.add("dropped", path, NOTHING_FOLLOWS)
        self._pending = []

    #: How an item is decoded and added, by its type.
    HANDLERS: ClassVar[dict[str, tuple[type[msgspec.Struct], Callable[[ItemTranslator, Any, Entry], None]]]] = {
        "message": (wire.MessageItem, _message),
        "agent_message": (wire.AgentMessageItem, _agent_message),
        "function_call": (wire.FunctionCallItem, _function_call),
        "custom_tool_call": (wire.CustomCallItem, _custom_call),
        "function_call_output": (wire.OutputItem, _output),
        "custom_tool_call_output": (wire.OutputItem, _output),
        "local_shell_call": (wire.LocalCallItem, _local_call),
        "shell_call": (wire.LocalCallItem, _local_call),
        "apply_patch_call": (wire.LocalCallItem, _local_call),
        "local_shell_call_output": (wire.OutputItem, _output),
        "shell_call_output": (wire.OutputItem, _shell_output),
        "apply_patch_call_output": (wire.OutputItem, _output),
        "additional_tools": (wire.AdditionalToolsItem, _additional_tools),
        "tool_search_output": (wire.AdditionalToolsItem, _additional_tools),
        "configuration_update": (wire.ConfigurationUpdateItem, _configuration_update),
        "compaction": (wire.CompactionItem, _compaction),
        "compaction_trigger": (wire.IgnoredItem, _compaction_trigger),
    }


def _indexed(path: str) -> str:
    """``input.3`` as ``input[3]``."""
    field, _, index = path.rpartition(".")
    return f"{field}[{index}]" if field else path
