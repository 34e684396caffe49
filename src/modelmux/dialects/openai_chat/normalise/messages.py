"""Messages: roles, content, and the calls and results that other dialects put into content or beside messages."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from modelmux.dialects.openai_chat.normalise.message_parts import reject_unread_content, take_parts
from modelmux.dialects.openai_chat.sdk_members import is_added_by_sdk
from modelmux.dialects.openai_shared.foreign.calls import (
    normalise_call,
    normalise_calls,
    normalise_function_call,
    normalise_id,
)
from modelmux.dialects.openai_shared.foreign.parts import CALLS, RESULTS, normalise_parts
from modelmux.dialects.openai_shared.foreign.records import is_part, is_result
from modelmux.dialects.openai_shared.foreign.rewrite import (
    Json,
    Rewrite,
    as_json,
    first,
    missing,
    unknown_value,
    unread,
    without,
    wrong_type,
)
from modelmux.errors import InvalidRequest

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
#: Other spellings: of LangChain's messages, and of Gemini's.
_ROLE_SPELLINGS: Final = {"human": "user", "ai": "assistant", "model": "assistant"}
_RESULT_IDS: Final = ("tool_call_id", "tool_use_id", "call_id", "toolCallId")
#: Items of Responses that are calls and outputs.
_CALL_ITEMS: Final = ("function_call", "custom_tool_call")
_OUTPUT_ITEMS: Final = ("function_call_output", "custom_tool_call_output")
#: Items that only Responses can use.
_DROPPED_ITEMS: Final = ("reasoning", "web_search_call")


class MessageList:
    """The messages of one request while they are rewritten: one of the client's may become several, and back."""

    def __init__(self, rewrite: Rewrite) -> None:
        self.messages: list[Json] = []
        self._rewrite = rewrite
        self._calls_open = False

    def add_system(self, content: Any, path: str) -> None:
        """A system prompt that stood beside the messages."""
        if content not in (None, "", []):
            self._add_content({"role": "system", "content": content}, path, path)

    def add(self, values: Any, path: str) -> None:
        """:raises InvalidRequest: a message of an unknown role or type, or one that is not an object."""
        if isinstance(values, str) and path == "input":
            values = [{"role": "user", "content": values}]
        if not isinstance(values, list):
            raise wrong_type(values, path, "an array of messages")
        for index, value in enumerate(values):
            self._add_value(value, f"{path}.{index}")

    def _add_value(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(value, path, "a message object")
        if "role" not in value and value.get("type") is not None:
            self._add_item(value, path)
            return
        role = value.get("role")
        if isinstance(role, str):
            role = _ROLE_SPELLINGS.get(role.lower(), role.lower())
            if role not in _ROLES:
                raise unknown_value(value["role"], f"{path}.role", _ROLES)
        self._calls_open = False
        value = without(value, "role", *(("type",) if value.get("type") == "message" else ()))
        if role is None:
            raise missing(f"{path}.role")
        value = {"role": role, **value}
        value, content_path = take_parts(value, path, self._rewrite)
        reject_unread_content(value, path)
        if role == "user":
            self._add_user(value, path, content_path)
        elif role == "assistant":
            self._add_assistant(value, path, content_path)
        elif role == "tool" or (role == "function" and value.get("tool_call_id")):
            value["role"] = "tool"
            self._add_tool(value, path, content_path)
        else:
            self._add_content(value, path, content_path)

    def _add_item(self, value: Json, path: str) -> None:
        """An item of Responses."""
        kind = value["type"]
        if kind in _CALL_ITEMS:
            if not self._calls_open:
                self._add({"role": "assistant", "content": None, "tool_calls": []}, path)
                self._calls_open = True
            self._add_call(without(value, "id", "status"), path)
        elif kind in _OUTPUT_ITEMS:
            self._add_tool(
                {**without(value, "type", "id", "status", "output"), "role": "tool", "content": value.get("output")},
                path, f"{path}.output", "call_id",
            )  # fmt: skip
        elif kind in _DROPPED_ITEMS:
            self._rewrite.left_out(path, "Chat Completions has no items of this type.")
        else:
            raise unknown_value(kind, f"{path}.type", ("message", *_CALL_ITEMS, *_OUTPUT_ITEMS))

    def _add_user(self, value: Json, path: str, content_path: str) -> None:
        content = value.get("content")
        if isinstance(value.get("images"), list):  # Ollama's
            text = [content] if isinstance(content, str) else content or []
            content = [*(text if isinstance(text, list) else [text]), *map(_image, value["images"])]
            value = without(value, "images")
        if content is None or isinstance(content, str):
            self._add(value, path)
            return
        parts = self._parts(content, content_path, "user")
        rest: list[tuple[Json, str]] = []
        marker = value.get("cache_control")
        for index, (part, position) in enumerate(parts):
            if part["type"] in RESULTS:
                is_last = index + 1 == len(parts) and not rest
                self._add_result(part, position, marker if is_last else None, path)
            elif part["type"] in CALLS:
                raise _misplaced(position, "A tool call belongs to an assistant message.")
            else:
                rest.append((part, position))
        if rest or not parts:
            self._add_parts(value, rest, path)
        else:
            self._report_rest(value, ("role", "content", "cache_control"), path)

    def _add_assistant(self, value: Json, path: str, content_path: str) -> None:
        if not value.get("images"):  # LiteLLM's, of replies that have none
            value = without(value, "images")
        content, calls = value.get("content"), value.get("tool_calls")
        if value.get("function_call") is not None:
            position = f"{path}.function_call"
            value["function_call"] = normalise_function_call(value["function_call"], position, self._rewrite)
        parts: list[tuple[Json, str]] | None = None
        if content is not None and not isinstance(content, str):
            parts = self._parts(content, content_path, "assistant")
        if calls is not None:
            value["tool_calls"] = normalise_calls(calls, f"{path}.tool_calls", self._rewrite)
        if parts is None:
            self._add(value, path)
            self._calls_open = True
            return
        rest: list[tuple[Json, str]] = []
        found: list[tuple[Json, str]] = []
        for part, position in parts:
            if part["type"] in RESULTS:
                raise _misplaced(position, "A tool result belongs to a user or tool message.")
            (found if part["type"] in CALLS else rest).append((part, position))
        self._add_parts(value, rest, path)
        for part, position in _missing(found, value.get("tool_calls") or ()):
            self._add_call(part, position)
        self._calls_open = True

    def _add_call(self, value: Json, origin: str) -> None:
        """A call as part of the last message."""
        message = self.messages[-1]
        calls = message.get("tool_calls")
        if calls is None:
            calls = message["tool_calls"] = []
        path = f"messages.{len(self.messages) - 1}.tool_calls.{len(calls)}"
        calls.append(normalise_call(value, path, self._rewrite, origin))

    def _add_tool(self, value: Json, path: str, content: str | None = None, id_name: str = "tool_call_id") -> None:
        """A tool message. Results in its content are messages of their own.

        :param id_name: what the dialect of the result calls the id of the call.
        """
        position = content or f"{path}.content"
        self._calls_open = False
        given = value.get("content")
        if isinstance(given, list) and given and all(map(is_result, given)):
            self._report_rest(value, ("role", "content", "name", "cache_control", *_RESULT_IDS), path)
            for index, part in enumerate(given):
                marker = value.get("cache_control") if index + 1 == len(given) else None
                self._add_result(part, f"{position}.{index}", marker, path)
            return
        spelling = next((name for name in _RESULT_IDS if value.get(name) is not None), None)
        if spelling is not None:
            id = normalise_id(value[spelling], f"{path}.{spelling}", self._rewrite)
            value = {**without(value, *_RESULT_IDS), "tool_call_id": id}
        else:
            value = without(value, *_RESULT_IDS)
        self._rewrite.renamed(f"{path}.tool_call_id", f"{path}.{spelling or id_name}")
        fields, position = self._result_content(given, position)
        self._add_content({**value, **fields}, path, position)

    def _add_result(self, part: Json, path: str, marker: Any, message: str) -> None:
        """Anthropic's ``tool_result``.

        :param marker: a breakpoint after it, of the message at ``message``.
        """
        value = {"role": "tool", **without(part, "type")}
        if marker is not None and value.get("cache_control") is None:
            value["cache_control"] = marker
            self._rewrite.renamed(f"{path}.cache_control", f"{message}.cache_control")
        self._add_tool(value, path, id_name="tool_use_id")

    def _result_content(self, content: Any, path: str) -> tuple[Json, str]:
        """The content of a tool's result, whatever JSON the tool returned, and the client's path of it."""
        inner = content.get("content") if isinstance(content, dict) and "type" not in content else None
        if isinstance(content, dict) and isinstance(inner, list) and all(map(_is_of_mcp, inner)):
            for unknown in unread(content, "content", "isError", "is_error"):  # MCP's result of a call
                self._rewrite.notices.ignore_unknown(f"{path}.{unknown}"[:80], "Not part of what the model reads.")
            error = first(content, "isError", "is_error") is True
            return {"content": inner, **({"is_error": True} if error else {})}, f"{path}.content"
        if content is None or _is_content(content) or (isinstance(content, list) and all(map(_is_content, content))):
            return {"content": content}, path
        self._rewrite.completed(path, "The content of a tool's result is a text: it is sent as JSON.")
        return {"content": as_json(content)}, path

    def _parts(self, content: Any, path: str, role: str) -> list[tuple[Json, str]]:
        """Parts, and the client's path of each."""
        if isinstance(content, dict):
            content = [content]
        if not isinstance(content, list):
            raise wrong_type(content, path, "a string or an array of content parts")
        return normalise_parts(content, path, self._rewrite, role)

    def _add_content(self, value: Json, origin: str, position: str) -> None:
        """A message with content in any form; ``place`` is the client's path of it."""
        content = value.get("content")
        if content is None or isinstance(content, str):
            self._add(value, origin)
        else:
            self._add_parts(value, self._parts(content, position, str(value.get("role"))), origin)
        self._rewrite.moved(f"messages.{len(self.messages) - 1}.content", position)

    def _add_parts(self, value: Json, parts: list[tuple[Json, str]], origin: str) -> None:
        path = f"messages.{len(self.messages)}.content"
        self._add({**value, "content": [part for part, _ in parts] or None}, origin)
        for index, (_, position) in enumerate(parts):
            self._rewrite.moved(f"{path}.{index}", position)

    def _report_rest(self, value: Json, used: tuple[str, ...], path: str) -> None:
        """A notice for what else a message holds that becomes others."""
        for name in unread(value, *used):
            if not is_added_by_sdk(f"{path}.{name}"):
                self._rewrite.notices.ignore_unknown(f"{path}.{name}"[:80], "Only the content of the message is sent.")

    def _add(self, value: Json, origin: str) -> None:
        self._rewrite.moved(f"messages.{len(self.messages)}", origin)
        self.messages.append(value)


def _is_content(value: Any) -> bool:
    """Whether what a tool returned is content, not data."""
    return isinstance(value, str) or is_part(value)


def _is_of_mcp(value: Any) -> bool:
    """Whether an element of MCP's result of a call is content: there, an image needs no type of its data."""
    return _is_content(value) or (
        isinstance(value, dict) and value.get("type") in ("image", "audio") and isinstance(value.get("data"), str)
    )


def _missing(blocks: list[tuple[Json, str]], calls: Collection[Json]) -> list[tuple[Json, str]]:
    """The calls in content that are not among those beside it. LangChain sends them twice: as blocks and as calls.

    Two are the same by their id, or by their name where one of them has none.
    """
    ids: set[str] = set()
    names: set[str] = set()
    unnamed: set[str] = set()  # names of calls without an id
    if not calls:
        return blocks
    for call in calls:
        name = str(call[call["type"]].get("name"))
        names.add(name)
        if call.get("id"):
            ids.add(str(call["id"]))
        else:
            unnamed.add(name)
    missing = []
    for block, position in blocks:
        id, name = first(block, "id"), str(block.get("name"))
        if (str(id) not in ids and name not in unnamed) if id is not None else name not in names:
            missing.append((block, position))
    return missing


def _image(value: Any) -> Any:
    return {"type": "image_url", "image_url": value} if isinstance(value, str) else value


def _misplaced(path: str, reason: str) -> InvalidRequest:
    return InvalidRequest(reason, param=f"{path}.type", hint="Move it there.")
