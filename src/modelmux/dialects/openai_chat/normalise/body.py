"""A request that may mix other dialects in -> Chat Completions, with what was changed and from where."""

from __future__ import annotations

from typing import Any

from modelmux.dialects.openai_chat.normalise.fields import normalise_fields, reject_foreign
from modelmux.dialects.openai_chat.normalise.messages import MessageList
from modelmux.dialects.openai_chat.normalise.tools import NormalisedTools, normalise_choice
from modelmux.dialects.openai_shared.foreign.rewrite import Json, Rewrite
from modelmux.dialects.openai_shared.foreign.tools import normalise_function


def normalise(body: Json, rewrite: Rewrite) -> Json:
    """The request in Chat Completions' form; what has no counterpart stays as it is.

    :raises InvalidRequest: something that can be read in no way, with the client's path.
    """
    reject_foreign(body)
    body = dict(body)
    _take_messages(body, rewrite)
    normalise_fields(body, rewrite)
    _take_tools(body, rewrite)
    return body


def _take_messages(body: Json, rewrite: Rewrite) -> None:
    messages = MessageList(rewrite)
    for name in ("instructions", "system"):
        if name in body:
            messages.add_system(body.pop(name), name)
    field = "messages"
    if body.get("messages") is None and body.get("input") is not None:
        field = "input"
    if body.get(field) is None:
        return  # the decoder says that they are missing
    messages.add(body.pop(field), field)
    body["messages"] = messages.messages


def _take_tools(body: Json, rewrite: Rewrite) -> None:
    tools = NormalisedTools(rewrite)
    if body.get("tools") is not None:
        tools.add(body["tools"], "tools")
        body["tools"] = tools.tools or None
    functions: Any = body.get("functions")
    if isinstance(functions, list):
        body["functions"] = [
            normalise_function(function, f"functions.{index}", rewrite) if isinstance(function, dict) else function
            for index, function in enumerate(functions)
        ]
    if body.get("tool_choice") is not None:
        body["tool_choice"] = normalise_choice(body["tool_choice"], tools.tools, body, rewrite)
    if tools.web_search is None or body.get("tool_choice") == "none":
        return
    tools.report_versions()
    if body.get("web_search_options") is None:
        body["web_search_options"] = tools.web_search
        rewrite.renamed("web_search_options", tools.web_search_path)
    elif body["web_search_options"] != tools.web_search:
        rewrite.notices.add("ignored", tools.web_search_path, "`web_search_options` is also set and takes precedence.")
