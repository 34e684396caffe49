"""Tool definitions: the client's tools, in namespaces or not, as tools with names of their own upstream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from modelmux.claude.identifiers import to_valid_identifier
from modelmux.claude.schema.root import to_object_root
from modelmux.dialects.openai_responses.foreign_tools import native_choice, native_for_echo, native_tool
from modelmux.dialects.openai_responses.local_tools import LOCAL_TOOLS
from modelmux.dialects.openai_responses.plan import ClientTool, ToolType
from modelmux.dialects.openai_responses.tool_support import TOOL_SUPPORT
from modelmux.dialects.openai_shared.caching import read_breakpoint
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.foreign.rewrite import Rewrite, in_client_terms
from modelmux.dialects.openai_shared.tool_count import check_tool_count
from modelmux.dialects.openai_shared.tools import FREE_TEXT
from modelmux.dialects.openai_shared.web_search import is_switched_off, is_web_search, report_version, web_search_tool
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.responses_items import decode_optional_type, decode_type
from modelmux.wire.openai.responses_request import (
    Tool,
    decode_tool,
    decode_web_search,
    nested_members,
    unknown_tool_fields,
)

#: Codex's namespace of tools that are known by their bare names.
_DEFAULT_NAMESPACE: Final = "functions"
#: Namespace of the tools that have a type of their own. No client can name it: an empty one is none.
_LOCAL: Final = ""
_UNUSED: Final = ("output_schema", "async_", "allowed_callers")
#: Length to which a name is cut before a number is appended: 128 characters are allowed.
_STEM: Final = 120
_NAMED_LATER: Final = ("name", "description", "parameters", "strict")

_Key = tuple[str | None, str]


class ToolTable:
    """The tools of a request. Tools are added only, in order: what is in the table never changes its name.

    ``tools`` are the definitions upstream, ``paths`` the path of each one's definition by upstream name;
    ``members`` the client's path of members that have another name or place, by the usual one.
    """

    def __init__(self, ctx: TranslationContext, *, drops_hosted: bool, web_search: bool) -> None:
        self.tools: list[anthropic.Tool] = []
        self.paths: dict[str, str] = {}
        self.members: dict[str, str] = {}
        self.web_search: anthropic.WebSearch | None = None
        self.has_left_out_search = False
        self._ctx = ctx
        self._drops_hosted = drops_hosted
        self._allows_web_search = web_search
        self._clients: dict[str, ClientTool] = {}
        self._names: dict[_Key, str] = {}
        self._definitions: dict[_Key, bytes] = {}
        self._members: dict[str, list[str]] = {}

    def add(self, tools: Sequence[bytes], path: str, *, again: bool = False) -> None:
        """Add definitions.

        :param again: tools that are defined already may be among them: the first definition of each stays.
        :raises InvalidRequest: two tools with one name, or a tool that has no counterpart.
        """
        for index, raw in enumerate(tools):
            self._add(raw, f"{path}.{index}", again=again)

    def upstream(self, name: str, namespace: str | None, field: str) -> str:
        """The upstream name of a tool that the history calls, defined or not."""
        known = self.find(name, namespace)
        return self._flat(name, _namespace(namespace), field) if known is None else known

    def local(self, kind: str) -> str:
        """The upstream name of a tool with a type of its own."""
        return self._names.get((_LOCAL, kind), kind)

    def find(self, name: str, namespace: str | None = None) -> str | None:
        """The upstream name of a defined tool. A member may be named without its namespace, or by its upstream name:
        some clients know it by these."""
        known = self._names.get((_namespace(namespace), name))
        if known is not None or namespace:
            return known
        members = self._members.get(name)
        if members:
            return members[0]
        return name if name in self._clients else None

    def find_local(self, kind: str) -> str | None:
        """The upstream name of a defined tool with a type of its own."""
        return self._names.get((_LOCAL, kind))

    @property
    def declared(self) -> list[str]:
        """The client's names of the tools, for errors."""
        names = [f"{tool.namespace}.{tool.name}" if tool.namespace else tool.name for tool in self._clients.values()]
        return names if self.web_search is None else [*names, self.web_search.name]

    def clients(self, aliases: Mapping[str, str]) -> Mapping[str, ClientTool]:
        """The client's tools by upstream name, and by their ``aliases``."""
        return self._clients | {bare: self._clients[name] for bare, name in aliases.items()}

    @property
    def aliases(self) -> Mapping[str, str]:
        """Upstream names of members of namespaces by their bare names, where only one has it."""
        return {
            valid: members[0]
            for name, members in self._members.items()
            if len(members) == 1 and (valid := to_valid_identifier(name)) not in self._clients
        }

    def _add(self, raw: bytes, path: str, *, again: bool, namespace: str | None = None) -> None:
        raw, kind, unknown, rewrite = self._read(raw, path)
        if kind == "namespace" and namespace is None:  # each level inside it would be read again: that is quadratic
            self._add_namespace(decode_tool(raw, path), path, again=again)
        elif is_web_search(kind):
            self._add_web_search(raw, kind, path)
        elif kind in ("function", "custom"):
            tool = _decode(raw, path, rewrite)
            self._define(raw, tool, path, rewrite, again=again, namespace=namespace)
        elif kind in LOCAL_TOOLS:
            self._add_local(raw, decode_tool(raw, path), path, again=again)
        else:
            self._leave_out(kind, path)
        for name in unknown:
            self._ctx.notices.ignore_unknown(f"{path}.{name[:80]}", "Not a field of a tool.")

    def _read(self, raw: bytes, path: str) -> tuple[bytes, str, list[str], Rewrite]:
        """A tool in the form of Responses, its type, the paths inside it of members that nothing reads, and what the
        client calls the others. Only one that has such members, or no type, is looked at for other forms.

        :raises InvalidRequest: it can be read in no way.
        """
        kind, rewrite = decode_optional_type(raw, path), Rewrite(self._ctx.notices)
        unknown = unknown_tool_fields(raw, kind, path)
        if not kind or (unknown and kind in ("function", "custom")):
            native = native_tool(raw, path, rewrite)
            if native is not raw:
                raw, kind = native, decode_type(native, path)
                unknown = unknown_tool_fields(raw, kind, path)
            elif not kind:
                decode_type(raw, path)
        return raw, kind, unknown, rewrite

    def _leave_out(self, kind: str, path: str) -> None:
        support = TOOL_SUPPORT.get(kind)
        if support is not None and support.kind == "rejected" and not self._drops_hosted:
            raise InvalidRequest(
                f"A tool of type '{kind}' needs a service that this gateway does not run.",
                param=f"{path}.type",
                hint='Leave it out, or have the operator set responses.hosted_tools = "drop".',
            )
        reason = support.explanation if support is not None and support.kind == "ignored" else "Not available here."
        self._ctx.notices.add("dropped", path, reason)

    def _add_namespace(self, tool: Tool, path: str, *, again: bool) -> None:
        if not tool.name:
            raise _missing(f"{path}.name")
        before = len(self.tools)
        for index, raw in enumerate(tool.tools or ()):
            self._add(bytes(raw), f"{path}.tools.{index}", again=again, namespace=tool.name)
        if tool.description and len(self.tools) > before:
            first = self.tools[before]
            description = f"{tool.description}\n\n{first.description}" if first.description else tool.description
            self.tools[before] = replace(first, description=description)

    def _define(
        self, raw: bytes, tool: Tool, path: str, rewrite: Rewrite, *, again: bool, namespace: str | None
    ) -> None:
        if not tool.name:
            raise _missing(rewrite.client_spelling(f"{path}.name"))
        kind: ToolType = "custom" if tool.type == "custom" else "function"
        key = (_namespace(namespace), tool.name)
        name_field = rewrite.client_spelling(f"{path}.name")
        if self._is_defined(key, raw, path, name_field, again=again):
            return
        name = self._free(self._flat(tool.name, key[0], name_field))
        make = self._custom if kind == "custom" else self._function
        definition = make(name, tool, path, rewrite)
        definition.cache_control = read_breakpoint(tool.cache_control, None, path)
        self._enter(key, definition, ClientTool(kind, tool.name, namespace), path)
        if key[0] is not None:
            self._members.setdefault(tool.name, []).append(name)
        self._report_unused(tool, path)

    def _report_unused(self, tool: Tool, path: str) -> None:
        for unused in _UNUSED:
            if getattr(tool, unused):
                field = f"{path}.{unused.rstrip('_')}"
                self._ctx.notices.add("ignored", field, "Claude's tools do not have this setting.")

    def _add_local(self, raw: bytes, tool: Tool, path: str, *, again: bool) -> None:
        environment = (tool.environment or {}).get("type", "local")
        if tool.type == "shell" and environment != "local":
            raise InvalidRequest(
                "This gateway does not run containers.",
                param=f"{path}.environment.type",
                hint="Use the environment 'local'.",
            )
        key = (_LOCAL, tool.type)
        if self._is_defined(key, raw, path, f"{path}.type", again=again):
            return
        local = LOCAL_TOOLS[tool.type]
        definition = anthropic.Tool(self._free(tool.type), local.schema, local.description)
        definition.cache_control = read_breakpoint(tool.cache_control, None, path)
        self._report_unused(tool, path)
        self._enter(key, definition, ClientTool(local.type, tool.type), path)

    def _add_web_search(self, raw: bytes, kind: str, path: str) -> None:
        options = decode_web_search(raw, path)
        if is_switched_off(options):
            self.has_left_out_search = True
            return
        if not self._allows_web_search or options.get("external_web_access") is False:
            self.has_left_out_search = True
            self._ctx.notices.add("dropped", path, "Web search is off; the setting responses.web_search turns it on.")
            return
        report_version(kind, self._ctx.notices, f"{path}.type")
        self.web_search = web_search_tool(options, self._ctx.notices, path)

    def _is_defined(self, key: _Key, raw: bytes, path: str, field: str, *, again: bool) -> bool:
        before = self._definitions.get(key)
        if before is None:
            self._definitions[key] = raw
            return False
        if again or before == raw:
            return True
        raise InvalidRequest(
            f"Tool names must be unique: {self.paths[self._names[key]]} and {path} have the same.", param=field
        )

    def _enter(self, key: _Key, tool: anthropic.Tool, client: ClientTool, path: str) -> None:
        self._names[key] = tool.name
        self._clients[tool.name] = client
        self.paths[tool.name] = path
        self.tools.append(tool)
        check_tool_count(len(self.tools), path.partition(".")[0])

    def _function(self, name: str, tool: Tool, path: str, rewrite: Rewrite) -> anthropic.Tool:
        field = rewrite.client_spelling(f"{path}.parameters")
        self._note_members(path, rewrite)
        root = to_object_root(tool.parameters, field, self._ctx.schema_work)
        if root.change:
            self._ctx.notices.add("changed", field, root.change)
        return anthropic.Tool(name, root.schema, tool.description or None, tool.strict or None)

    def _note_members(self, path: str, rewrite: Rewrite) -> None:
        """Remember what the client calls members of a tool that notices and errors name later."""
        if not rewrite.members:
            return
        for member in _NAMED_LATER:
            field = rewrite.client_spelling(f"{path}.{member}")
            if field != f"{path}.{member}":
                self.members[f"{path}.{member}"] = field

    def _custom(self, name: str, tool: Tool, path: str, rewrite: Rewrite) -> anthropic.Tool:
        description = tool.description or ""
        grammar = _grammar(tool.format)
        if grammar:
            reason = "A grammar cannot be enforced; it is part of the description."
            self._ctx.notices.add("changed", rewrite.client_spelling(f"{path}.format"), reason)
            description = f"{description}\n\n{grammar}".strip()
        return anthropic.Tool(name, FREE_TEXT, description or None)

    def _flat(self, name: str, namespace: str | None, field: str) -> str:
        flat = name if namespace is None else f"{namespace}__{name}"
        valid = to_valid_identifier(flat)
        if valid != flat:
            reason = "The name holds characters Vertex AI does not accept; replies use the original."
            self._ctx.notices.add("changed", field, reason)
        return valid

    def _free(self, name: str) -> str:
        """The name, with a number if it is taken."""
        free, number = name, 1
        while free in self._clients:
            number += 1
            free = f"{name[:_STEM]}_{number}"
        return free


def _decode(raw: bytes, path: str, rewrite: Rewrite) -> Tool:
    """:param rewrite: gets the paths of what is inside ``function``.
    :raises InvalidRequest: with the client's name of the field.
    """
    try:
        tool = decode_tool(raw, path)
    except InvalidRequest as error:
        raise in_client_terms(error, rewrite) from None
    if bytes(tool.function):
        for member in nested_members(raw):
            rewrite.renamed(f"{path}.{member}", f"{path}.function.{member}")
    return tool


def _namespace(namespace: str | None) -> str | None:
    return None if namespace in ("", _DEFAULT_NAMESPACE) else namespace


def _missing(field: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{field}'.", param=field, code="missing_required_parameter")


def _grammar(form: dict[str, Any] | None) -> str:
    """What a description says of the grammar of a tool's input; empty if it has none."""
    if form is None or form.get("type") != "grammar":
        return ""
    inner = form.get("grammar")
    grammar = inner if isinstance(inner, dict) else form
    definition = grammar.get("definition")
    if not isinstance(definition, str) or not definition.strip():
        return ""
    syntax = grammar.get("syntax")
    kind = f" ({syntax})" if syntax in ("lark", "regex") else ""
    return f"The input has to follow this grammar{kind}:\n{definition}"


def echo_tools(tools: Sequence[Any]) -> list[Any]:
    """Tools as the response repeats them: functions flat and with all their fields, unknown types left out."""
    return [_echo_tool(tool) for tool in map(native_for_echo, tools) if tool.get("type") in TOOL_SUPPORT]


def _echo_tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] == "namespace" and isinstance(tool.get("tools"), list):
        return {**tool, "tools": [_echo_tool(native_for_echo(member)) for member in tool["tools"]]}
    if tool["type"] != "function":
        return tool
    inner = tool.get("function")
    flat = {name: value for name, value in tool.items() if name != "function"}
    if isinstance(inner, dict):
        flat = {**inner, **flat}
    return {**flat, "parameters": flat.get("parameters"), "strict": flat.get("strict")}


def echo_choice(choice: Any) -> Any:
    """``tool_choice`` as the response repeats it."""
    return "auto" if choice is None else native_choice(choice)
