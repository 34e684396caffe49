"""Finds the members of items and content parts that nothing reads.

Each struct of ``responses_items.py`` has a closed form, which also knows the members that released SDKs and clients add
by themselves. An object that it accepts has no others; one that it refuses is searched for them, in a second pass.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from modelmux.wire.openai import common
from modelmux.wire.openai.common import BreakpointMarker, CacheMarker
from modelmux.wire.openai.members import Shape, remove_unknown, shape_of
from modelmux.wire.sliced_json import decode_struct, needs_slices

_SENT_BACK: Final = "openai: a member of a response that is sent back."
_CALLER: Final = "openai: says which program made the call (`programmatic_tool_calling`)."
_STREAM: Final = "openai: the state of a call that is sent back."
_TEXT: Final = {
    "annotations": _SENT_BACK,
    "logprobs": _SENT_BACK,
    "parsed": "openai: a reply of `responses.parse`.",
    "id": "langchain-core: a standard content block.",
    "index": "langchain-core: content folded from a stream.",
}

#: Members that SDKs and clients add to items by themselves, by the item's type, with where they come from. Their users
#: did not write them and cannot leave them out, so they are not reported, in strict mode neither. ``*`` is any item.
ITEM_MEMBERS: Final[dict[str, dict[str, str]]] = {
    "*": {"status": _SENT_BACK, "created_by": _SENT_BACK},
    "message": {"phase": _SENT_BACK, "annotations": "openai: a reply of Chat Completions that is sent back."},
    "agent_message": {"author": "Codex: the agent that wrote it.", "recipient": "Codex: the agent that it is for."},
    "function_call": {
        "caller": _CALLER,
        "async": _STREAM,
        "parsed_arguments": "openai: a reply of `responses.parse`.",
    },
    "function_call_output": {
        "caller": _CALLER,
        "name": "openai: repeats the name of the call.",
        "namespace": "openai: repeats the namespace of the call.",
    },
    "custom_tool_call": {"caller": _CALLER, "async": _STREAM},
    "custom_tool_call_output": {"caller": _CALLER},
    "reasoning": {
        "summary": "openai: repeats what `encrypted_content` holds.",
        "content": "openai: repeats what `encrypted_content` holds.",
    },
    "shell_call": {"caller": _CALLER, "environment": "openai: where the command was run."},
    "shell_call_output": {"caller": _CALLER, "max_output_length": "openai: repeats that of the call."},
    "apply_patch_call": {"caller": _CALLER},
    "apply_patch_call_output": {"caller": _CALLER},
    "additional_tools": {"role": "openai: always `developer`."},
    "tool_search_output": {"call_id": _SENT_BACK, "execution": _SENT_BACK},
}
#: The same of content parts.
PART_MEMBERS: Final[dict[str, dict[str, str]]] = {
    "input_text": _TEXT,
    "output_text": _TEXT,
    "text": _TEXT,
    "refusal": {},
    "input_image": {"detail": "openai: required by its types. Claude sees every image in full."},
    "input_file": {"detail": "openai: how a PDF is read. Claude reads every page as text and as an image."},
    "input_audio": {"input_audio": "The part is refused."},
}


class ImageURL(Struct):
    """The image of a part in the form of Chat Completions. ``format`` is the media type that LiteLLM's clients add."""

    url: str
    detail: str | None = None
    format: Any = None


class _ClosedImageURL(ImageURL, forbid_unknown_fields=True):
    pass


#: The closed forms of the objects inside of parts, by the name of the member.
_CLOSED: Final[dict[str, Any]] = {
    "cache_control": CacheMarker | None,
    "prompt_cache_breakpoint": BreakpointMarker | None,
    "image_url": str | _ClosedImageURL | None,
}


class _Known(NamedTuple):
    """How one type of item or part is decoded.

    :param closed: refuses unknown members.
    :param lenient: does not.
    """

    closed: msgspec.json.Decoder[Any]
    lenient: msgspec.json.Decoder[Any]
    shape: Shape


_known: Final[dict[tuple[type[Struct], str], _Known]] = {}


def decode_reported(struct: type[Struct], kind: str, raw: bytes, path: str, unknown: list[str]) -> Any:
    """An item or a part as a struct.

    :param kind: its type.
    :param unknown: gets the paths of members that nothing reads.
    :raises InvalidRequest: with the name of the field.
    """
    known = _known.get((struct, kind)) or _learn(struct, kind)
    try:
        return decode_struct(raw, known.closed) if needs_slices(raw) else known.closed.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = common.decode_struct(known.lenient, raw, path)
    unknown += [f"{path}.{name}" for name in remove_unknown(common.decode_any(raw, path), known.shape)]
    return value


def _learn(struct: type[Struct], kind: str) -> _Known:
    """Types are few: they are items and parts that this gateway knows."""
    silent = (
        {**PART_MEMBERS.get(kind, {})} if kind in PART_MEMBERS else {**ITEM_MEMBERS["*"], **ITEM_MEMBERS.get(kind, {})}
    )
    names = [name for name in ("type", "id", *silent) if name not in struct.__struct_encode_fields__]
    closed = msgspec.defstruct(
        f"Closed{struct.__name__}",
        [
            *((name, Raw, Raw(b"")) for name in names),
            *((name, _CLOSED[name], None) for name in struct.__struct_fields__ if name in _CLOSED),
        ],
        bases=(struct,), forbid_unknown_fields=True, kw_only=True,
    )  # fmt: skip
    known = _Known(msgspec.json.Decoder(closed), msgspec.json.Decoder(struct), shape_of(closed))
    _known[struct, kind] = known
    return known
