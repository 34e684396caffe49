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
from modelmux.dialects.openai_responses.content import result_content, text_blocks, user_block, user_blocks
from modelmux.dialects.openai_responses.entries import Entry
from modelmux.dialects.openai_responses.foreign import ITEM_TYPES, NOT_A_FIELD, Call, ForeignReader, Result
from modelmux.dialects.openai_responses.item_support import ITEM_SUPPORT, NEVER_LAST
from modelmux.dialects.openai_responses.local_tools import call_input, shell_output, unknown_call_fields
from modelmux.dialects.openai_responses.returned_thinking import open_runs
from modelmux.dialects.openai_responses.sealed import open_summary
from modelmux.dialects.openai_responses.tools import ToolTable
from modelmux.dialects.openai_shared.arguments import decode_arguments
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.foreign.rewrite import unread
from modelmux.dialects.openai_shared.media import drop_blank_text
from modelmux.dialects.sealer import Sealer
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai import responses_items as wire
from modelmux.wire.openai.responses_items import decode_output, decode_parts
from modelmux.wire.openai.responses_members import decode_reported

_SYSTEM: Final = ("system", "developer")
#: Roles of the results of tools in Chat Completions, and other spellings: LangChain's and Gemini's.
_ROLE_SPELLINGS: Final = {"human": "user", "ai": "assistant", "model": "assistant"}
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
        self._foreign = ForeignReader(ctx)
        self._unknown: list[str] = []  # paths of members of the item that nothing reads
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
            if self._unknown:
                self._report_unknown()
        self._drop_pending()

    def _report_unknown(self) -> None:
        for name in self._unknown:
            self._ctx.notices.ignore_unknown(name[:80], NOT_A_FIELD)
        self._unknown = []

    def _add(self, entry: Entry, *, is_last: bool) -> None:
        self.conversation.path = entry.path
        handler = self.HANDLERS.get(entry.type)
        assert entry.raw is not None
        if handler is not None:
            shape, handle = handler
            handle(self, decode_reported(shape, entry.type, entry.raw, entry.path, self._unknown), entry)
            return
        support = ITEM_SUPPORT.get(entry.type)
        if support is None and entry.type in ITEM_TYPES:
            self._foreign_item(entry.raw, entry.path)
            return
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
        path, role = f"{entry.path}.content", _ROLE_SPELLINGS.get(item.role.lower(), item.role.lower())
        if role == "tool" or (role == "function" and (item.tool_call_id is not None or item.name)):
            self._tool_message(item, entry.path)
            return
        if item.name is not None:
            self._ctx.notices.add("ignored", f"{entry.path}.name", "Claude does not support names for participants.")
        reader = self._foreign if role == "user" else ForeignReader(self._ctx, role)
        content = decode_parts(item.content, path, self._unknown, reader)
        if role in _SYSTEM:
            self._system(text_blocks(content, self._ctx, path), entry)
        elif role == "assistant":
            self._assistant(item, content, entry.path)
            self.ends_in_output = entry.id is not None
        elif role == "user":
            self._user_message(content, path)
        else:
            raise InvalidRequest(
                f"Unknown role at '{entry.path}'.",
                param=f"{entry.path}.role",
                hint="Use user, assistant, system or developer; the result of a tool has a 'tool_call_id'.",
            )

    def _assistant(self, item: wire.MessageItem, content: Any, path: str) -> None:
        """A message of the assistant. Calls in it are those of Chat Completions or of Anthropic Messages."""
        if item.audio is not None:
            raise InvalidRequest(
                "Claude does not support audio.", param=f"{path}.audio", hint="Send its transcript as content."
            )
        texts = text_blocks(content, self._ctx, f"{path}.content", is_reply=True)
        if isinstance(item.refusal, str):
            texts.append(anthropic.TextBlock(item.refusal))
        calls = [part for part in content if isinstance(part, Call)] if isinstance(content, list) else []
        if bytes(item.tool_calls) != b"null":  # LangChain sends them twice: as blocks and as calls
            calls = self._foreign.calls(bytes(item.tool_calls), f"{path}.tool_calls") or calls
        if bytes(item.function_call) != b"null":
            calls.append(self._foreign.function_call(bytes(item.function_call), f"{path}.function_call"))
        if not calls or any(block.text.strip() for block in texts):
            self._assistant_text(texts)
        for call in calls:
            self._foreign_call(call)

    def _user_message(self, content: Any, path: str) -> None:
        results = [part for part in content if isinstance(part, Result)] if isinstance(content, list) else []
        for result in results:
            self._foreign_result(result)
        if not results or len(results) < len(content):
            self._user(user_blocks(content, self._ctx, path), path)

    def _tool_message(self, item: wire.MessageItem, path: str) -> None:
        """The result of a tool in the form of Chat Completions."""
        self._foreign_result(self._foreign.tool_message(item, path))

    def _foreign_item(self, raw: bytes, path: str) -> None:
        """A block or a part that stands among the items."""
        part = self._foreign.item(raw, path, self._unknown)
        if isinstance(part, Call):
            self._foreign_call(part)
        elif isinstance(part, Result):
            self._foreign_result(part)
        else:
            block = user_block(part, self._ctx, path)
            if block is not None:
                self._user([block], path)

    def _foreign_call(self, call: Call) -> None:
        name = self._tools.upstream(call.name, None, call.name_field)
        if call.is_custom:
            value: dict[str, Any] = {"input": call.text or ""}
        else:
            value = decode_arguments(call.text, self._ctx.notices, call.text_field)
        self._call(call.id, name, value, call.path)

    def _foreign_result(self, result: Result) -> None:
        self._begin_user_item()
        value, orphan, is_error = self._result_content(result.content, result.content_field)
        name = self._tools.find(result.name) if result.name else None
        self.conversation.add_tool_result(
            result.call_id, value, result.marker or orphan, result.id_field, name=name,
            is_error=result.is_error or is_error,
        )  # fmt: skip

    def _agent_message(self, item: wire.AgentMessageItem, entry: Entry) -> None:
        path = f"{entry.path}.content"
        content = decode_parts(item.content, path, self._unknown, self._foreign)
        self._user(list(text_blocks(content, self._ctx, path)), path)

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
        self._unknown += [f"{entry.path}.{name}" for name in unknown_call_fields(kind, item)]
        self._call(call_id, self._tools.local(kind), call_input(kind, item), entry.path)

    def _output(self, item: wire.OutputItem, entry: Entry) -> None:
        self._begin_user_item()
        value, orphan, is_error = self._result_content(bytes(item.output), f"{entry.path}.output")
        self._result(item, value, entry, orphan, is_error=is_error)

    def _result_content(
        self, raw: bytes, path: str
    ) -> tuple[str | list[Any] | None, anthropic.CacheControl | None, bool]:
        """What a tool returned: its content, a breakpoint without a block to set it on, and whether it is an error."""
        raw, path, is_error = self._foreign.unwrapped(raw, path)
        content = decode_output(raw, path, self._unknown, self._foreign)
        return *result_content(content, self._ctx, path), is_error

    def _shell_output(self, item: wire.OutputItem, entry: Entry) -> None:
        path = f"{entry.path}.output"
        text = shell_output(wire.decode_any(bytes(item.output), path), path, self._unknown)
        if text is None:
            self._output(item, entry)
            return
        self._begin_user_item()
        self._result(item, text or None, entry, None)

    def _result(
        self,
        item: wire.OutputItem,
        value: str | list[Any] | None,
        entry: Entry,
        marker: anthropic.CacheControl | None,
        *,
        is_error: bool = False,
    ) -> None:
        is_error = is_error or item.status in ("incomplete", "failed")
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
        settings = item.reasoning or {}
        self.effort = settings.get("effort", self.effort)
        self._unknown += [f"{entry.path}.reasoning.{name}" for name in unread(settings, "effort")]
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
