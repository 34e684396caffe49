"""A native request as the input of token counting: the fields that count, without betas.

Token counting refuses betas that the models accept. Fields that came with a beta are sent nevertheless, because they
count; where a location refuses one, the request is sent again without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from modelmux.catalog import ModelCard
from modelmux.catalog.betas import betas
from modelmux.claude.native import NativeRequest
from modelmux.claude.options import Options
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.native import envelope, fields, repairs, server_tools
from modelmux.providers.vertex_claude.native.betas import matches
from modelmux.providers.vertex_claude.native.draft import NativeDraft
from modelmux.providers.vertex_claude.native.prepare import encode
from modelmux.wire.json_edit import Path

#: The fields that change the number of tokens; all others are left out.
COUNTED: Final = (
    "messages", "system", "tools", "tool_choice", "thinking", "output_config", "context_management", "cache_control",
)  # fmt: skip
#: Set or renamed by a rule, so without a notice of its own.
_RULED: Final = ("model", "anthropic_version", "output_format")
#: Stands for every ``cache_control``: token counting has refused them all (2025), or accepts them all.
CACHE_CONTROL: Final = "cache_control"
#: Fields of betas that are not pairs in ``catalog/betas.toml``: with the models, they need no beta any more.
_FORMER_BETA_FIELDS: Final = (
    "output_config", "tools.*.input_examples", "tools.*.eager_input_streaming", "tools.*.strict",
    "tools.*.allowed_callers",
)  # fmt: skip
_RULES: Final = (
    repairs.surrogates, repairs.schemas,
    envelope.model, envelope.version, envelope.betas_argument, fields.output_format, fields.effort,
    fields.cache_scope, server_tools.tools, server_tools.blocks, fields.url_sources,
)  # fmt: skip
_EXTRA: Final = re.compile(r"([A-Za-z0-9_.\[\]-]{1,200}): Extra inputs are not permitted")


def prepare_count(
    native: NativeRequest, card: ModelCard, options: Options, *, refused: frozenset[str]
) -> NativePrepared:
    """The request whose tokens are counted for the model of ``card``.

    :param refused: fields that the location has refused lately, see ``refused_fields``.
    :raises InvalidRequest: it asks for something that Google Cloud does not offer; names the field.
    :raises PayloadTooLarge: with its downloaded files it is larger than Vertex AI accepts.
    """
    draft = NativeDraft(native, card, options, count_tokens=True)
    for rule in _RULES:
        rule(draft)
    for field in native.content:
        if field not in COUNTED and field not in _RULED:
            draft.edits[field,] = None
            draft.notices.add("ignored", field, "It does not change the number of tokens.")
    for field in sorted(refused):
        _leave_out(draft, field)
    return NativePrepared(encode(draft), (), draft.notices.items)


def refused_fields(message: str, native: NativeRequest) -> frozenset[str]:
    """The fields of this request that an error refuses, and without which its tokens can be counted.

    :param message: of a 400, such as ``tools.0.custom.defer_loading: Extra inputs are not permitted``.
    :returns: patterns, in which ``*`` is any index, or ``CACHE_CONTROL``.
    """
    names: set[str] = set()
    for match in _EXTRA.finditer(message):
        path = match[1].replace("[", ".").replace("]", "").split(".")
        if CACHE_CONTROL in path:
            names.add(CACHE_CONTROL)
            continue
        actual = _resolve(native.content, path)
        matching = [field for field in removable_fields() if _begins_with(actual, field.split("."))]
        names.update(sorted(matching, key=len)[-1:])  # not all of output_config for one of its fields
    return frozenset(names)


def removable_fields() -> Iterator[str]:
    """Patterns of the fields that came with a beta and may count."""
    paired = (field for pair in betas().pair for field in pair.fields if field.partition(".")[0] in COUNTED)
    yield from dict.fromkeys((*paired, *_FORMER_BETA_FIELDS))


def _resolve(value: Any, path: list[str]) -> list[str]:
    """The path of an error as a path of the request: without the names of types, which errors insert."""
    actual: list[str] = []
    for part in path:
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
            actual.append("*")
        elif isinstance(value, dict) and part in value:
            value = value[part]
            actual.append(part)
    return actual


def _begins_with(path: list[str], pattern: list[str]) -> bool:
    return path[: len(pattern)] == pattern


def _leave_out(draft: NativeDraft, field: str) -> None:
    if field == CACHE_CONTROL:
        marked: list[tuple[Path, Any]] = [((), draft.content), *draft.native.blocks]
        paths: list[Path] = [(*path, field) for path, block in marked if field in block]
    else:
        paths = list(matches(draft.content, tuple(field.split("."))))
    if paths:  # one notice is enough: the paths differ in their indexes only
        draft.notices.add("dropped", field, "Token counting does not accept it in this location.")
    if (field,) in draft.edits:  # added by a rule
        paths.append((field,))
    for path in paths:
        draft.edits[path] = None
