"""How the reply to a request is presented to its client; decided while the request is translated and prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType


class ReplyPlan(Struct, frozen=True):
    """What the encoder of a reply needs to know about the request.

    :param model: the model name the client sent, and gets back.
    :param include_usage: a stream ends with the usage.
    :param tool_names: upstream name of a tool -> the client's own, for renamed tools only.
    :param property_names: upstream name of a tool -> upstream key of a property -> the client's own, for renamed keys
        only; set when the request is prepared.
    :param custom_tools: upstream names of tools that take free text.
    :param answer_tool: upstream name of the tool whose input is the answer itself.
    :param answer_schema: what the client asked the answer of that tool to fit.
    :param legacy_function: reply with ``function_call`` instead of ``tool_calls``.
    :param strip_code_block: remove the Markdown fence around an answer that is one code block.
    :param show_reasoning: False leaves reasoning out.
    :param max_continuations: how often a reply that pauses for its server tools is continued.
    :param rename_model: a native reply shows ``model`` instead of the upstream's name.
    :param model_id: the catalog's id of the model that replies; set when the request is prepared for it.
    :param temperature, top_p: what the model is sent; None if it is not sent the parameter.
    :param service_tier: the tier to report, for a client that named one.
    """

    model: str
    include_usage: bool = False
    tool_names: Mapping[str, str] = {}
    property_names: Mapping[str, Mapping[str, str]] = {}
    custom_tools: frozenset[str] = frozenset()
    answer_tool: str | None = None
    answer_schema: dict[str, Any] | None = None
    legacy_function: bool = False
    strip_code_block: bool = False
    show_reasoning: bool = True
    max_continuations: int = 0
    rename_model: bool = False
    model_id: str = ""
    temperature: float | None = None
    top_p: float | None = None
    service_tier: str | UnsetType = UNSET
