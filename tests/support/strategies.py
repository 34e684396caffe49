"""Generated upstream traffic: replies, the streams that tell them, and the bytes that carry those."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

#: Text with what breaks careless code: quotes, line ends of all kinds, emoji, combining and wide characters.
TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from(list('ab c"\\/\n\r\t{}[]:,`\u2028\u0085é漢🎉\u200d0')),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=40,
)
WORDS = TEXT.filter(lambda text: bool(text.strip()))
NAMES = st.sampled_from(["get_weather", "run", "mcp__x", "ns_tool"])
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)
COUNTS = st.one_of(st.none(), st.integers(0, 10**6))
CITATIONS = st.fixed_dictionaries(
    {"type": st.just("web_search_result_location"), "url": st.sampled_from(["https://a.example", "https://b.example"]),
     "title": TEXT, "cited_text": TEXT, "encrypted_index": st.just("x")}
)  # fmt: skip


#: Unknown content: its fields have names that we know and other types.
CLASHES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("text", "thinking", "signature", "data", "id", "name", "citations", "partial_json"), JSON),
)
SERVER_RESULTS = st.sampled_from(["web_search_tool_result", "code_execution_tool_result", "tool_search_tool_result"])


#: Name and input of a tool call.
CALLS = st.tuples(st.one_of(NAMES, st.sampled_from(["answer", "shell"])), OBJECTS)
_PATHS = st.sampled_from(["a.txt", "src/é.py"])
_PATCHES = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["create_file", "update_file"]), "path": _PATHS, "diff": TEXT}),
    st.fixed_dictionaries({"type": st.just("delete_file"), "path": _PATHS}),
)
_SHELL_LIMITS = {"timeout_ms": st.integers(0, 10**6), "max_output_length": st.integers(0, 10**6)}
_LOCAL_SHELL = st.fixed_dictionaries(
    {"command": st.lists(TEXT, max_size=3)},
    optional={"timeout_ms": st.integers(0, 10**6), "working_directory": TEXT, "env": st.dictionaries(TEXT, TEXT)},
)
#: Calls of tools of all types that clients of OpenAI Responses declare; some have an input that does not fit its type.
RESPONSES_CALLS = st.one_of(
    CALLS,
    st.tuples(st.sampled_from(["run", "ns_run"]), st.fixed_dictionaries({"input": TEXT})),
    st.tuples(st.just("run"), st.fixed_dictionaries({"input": JSON}, optional={"more": JSON})),
    st.tuples(
        st.just("shell"), st.fixed_dictionaries({"commands": st.lists(TEXT, max_size=2)}, optional=_SHELL_LIMITS)
    ),
    st.tuples(st.just("local_shell"), st.one_of(_LOCAL_SHELL, OBJECTS)),
    st.tuples(st.just("apply_patch"), st.one_of(_PATCHES, OBJECTS)),
)
Calls = st.SearchStrategy[tuple[str, dict[str, Any]]]


@st.composite
def _block(draw: st.DrawFn, number: int, calls: Calls) -> dict[str, Any]:
    kind = draw(st.sampled_from(
        ["text", "text", "text", "thinking", "redacted", "tool", "tool", "tool", "server", "result", "unknown"]
    ))  # fmt: skip
    if kind == "text":
        block: dict[str, Any] = {"type": "text", "text": draw(TEXT)}
        return block | ({"citations": draw(st.lists(CITATIONS, max_size=2))} if draw(st.booleans()) else {})
    if kind == "thinking":
        return {"type": "thinking", "thinking": draw(TEXT), "signature": draw(st.sampled_from(["", "c2ln", "c2ln2"]))}
    if kind == "redacted":
        return {"type": "redacted_thinking", "data": draw(st.sampled_from(["ZGF0YQ==", "eA=="]))}
    if kind == "tool":
        name, input = draw(calls)
        return {"type": "tool_use", "id": f"toolu_vrtx_{number}", "name": name, "input": input}
    if kind == "server":
        return {"type": "server_tool_use", "id": f"srvtoolu_{number}", "name": "web_search", "input": draw(OBJECTS)}
    if kind == "result":
        return {"type": draw(SERVER_RESULTS), "tool_use_id": f"srvtoolu_{number - 1}", "content": [draw(OBJECTS)]}
    return draw(CLASHES) | {"type": "hologram", "voxels": [1, 2]}


@st.composite
def replies(draw: st.DrawFn, calls: Calls = CALLS) -> dict[str, Any]:
    """A Messages reply that is not streamed."""
    count = draw(st.integers(0, 5))
    blocks = [draw(_block(number, calls)) for number in range(count)]
    stop = draw(
        st.sampled_from(["end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal", "pause_turn", "compaction",
                         "model_context_window_exceeded", "invented", None])
    )  # fmt: skip
    usage = {
        "input_tokens": draw(COUNTS),
        "cache_creation_input_tokens": draw(COUNTS),
        "cache_read_input_tokens": draw(COUNTS),
        "output_tokens": draw(COUNTS),
    }
    if draw(st.booleans()):
        usage["output_tokens_details"] = draw(st.sampled_from([None, {}, {"thinking_tokens": 7}]))
    details = {"type": "refusal", "category": None, "explanation": draw(st.one_of(st.none(), WORDS))}
    return {
        "id": "msg_vrtx_1", "type": "message", "role": "assistant", "model": "claude", "content": blocks,
        "stop_reason": stop, "stop_sequence": None, "stop_details": details if stop == "refusal" else None,
        "usage": draw(st.sampled_from([usage, usage, usage, None])),
    }  # fmt: skip


def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _split_text(draw: st.DrawFn, field: str, text: str) -> tuple[str, list[dict[str, Any]]]:
    """A text as its beginning in the block's start, mostly none, and the deltas that complete it."""
    begun = draw(st.sampled_from([0, 0, 0, len(text) // 2, len(text)]))
    return text[:begun], [{"type": f"{field}_delta", field: piece} for piece in _pieces(draw, text[begun:])]


def _deltas(draw: st.DrawFn, block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins and what deltas complete it."""
    kind = block["type"]
    if kind == "text":
        begun, deltas = _split_text(draw, "text", block["text"])
        deltas += [{"type": "citations_delta", "citation": c} for c in block.get("citations", ())]
        return {"type": "text", "text": begun}, deltas
    if kind == "thinking":
        begun, deltas = _split_text(draw, "thinking", block["thinking"])
        signed, rest = _split_text(draw, "signature", block["signature"])
        return {"type": "thinking", "thinking": begun, "signature": signed}, deltas + rest
    if kind in ("tool_use", "server_tool_use"):
        return _tool_deltas(draw, block)
    return block, [draw(CLASHES) | {"type": "hologram_delta"}] if kind == "hologram" else []


def _tool_deltas(draw: st.DrawFn, block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Input in deltas, as a rule; without any there may be none, an empty one or all of it in the start."""
    empty = [{"type": "input_json_delta", "partial_json": ""}] if draw(st.booleans()) else []
    if draw(st.integers(0, 4)) == 0:
        return block, empty
    start = {**block, "input": {}}
    if not block["input"]:
        form = draw(st.sampled_from(["braces", "nothing", "no input"]))
        if form == "no input":
            del start["input"]
        if form != "braces":
            return start, empty
    text = json.dumps(block["input"], ensure_ascii=draw(st.booleans()))
    return start, empty + [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(draw, text)]


NOISE = st.one_of(
    st.just({"type": "ping"}),
    st.just({"type": "news", "delta": "?", "index": "one", "message": []}),
    st.builds(lambda fields: {**fields, "type": "tidings"}, OBJECTS),
)


@st.composite
def streams(draw: st.DrawFn, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """A stream that tells ``reply``, with the noise real ones have."""
    noise = st.lists(NOISE, max_size=1)
    opening = {**reply, "content": [], "stop_reason": None, "stop_details": None}
    final = reply["usage"]
    if final is not None:
        opening["usage"] = {**final, "output_tokens": 1}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": opening}, *draw(noise)]
    for index, block in enumerate(reply["content"]):
        start, deltas = _deltas(draw, block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            events += [{"type": "content_block_delta", "index": index, "delta": delta}, *draw(noise)]
        events.append({"type": "content_block_stop", "index": index})
    for _ in range(draw(st.integers(0, 2))):
        partial = {"output_tokens": 2, "input_tokens": None} if final is not None else {}
        usage = draw(st.sampled_from([None, {}, partial]))
        events.append({"type": "message_delta", "delta": draw(st.sampled_from([{}, None])), "usage": usage})
    end = {"stop_reason": reply["stop_reason"], "stop_sequence": None, "stop_details": reply["stop_details"]}
    counts = None if final is None else {"output_tokens": final["output_tokens"] or 0, "input_tokens": None}
    events.append({"type": "message_delta", "delta": end, "usage": counts})
    return [*events, *draw(noise), {"type": "message_stop"}]


_KINDS = ["text", "thinking", "tool_use", "redacted_thinking", "server_tool_use", "hologram"]
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json",
           "signature_delta": "signature", "hologram_delta": "text"}  # fmt: skip


@st.composite
def disorder(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events that stand where they should not: blocks left open, begun twice or not at all, deltas of another kind.

    Two things are kept in order, because nothing defines what is right without them: text and thinking go to the block
    of their kind that was begun last, and a tool call ends before another one begins: a stream numbers calls in the
    order it sends them, and a custom tool's call is sent when it ends.
    """
    events: list[dict[str, Any]] = []
    under_way: dict[int, str] = {}
    latest: dict[str, int] = {}
    for number in range(draw(st.integers(0, 14))):
        step = draw(st.sampled_from(["start", "delta", "delta", "delta", "stop", "other"]))
        index = draw(st.integers(-1, 2))
        if step == "start":
            kind = draw(st.sampled_from(_KINDS))
            if kind == "tool_use":
                for open_index in [i for i, k in under_way.items() if k == "tool_use"]:
                    del under_way[open_index]
                    events.append({"type": "content_block_stop", "index": open_index})
            under_way[index], latest[kind] = kind, index
            fields = {"id": f"toolu_{number}", "name": draw(st.sampled_from(["get_weather", "shell", None])),
                      "text": draw(TEXT), "thinking": draw(TEXT), "data": "x"}  # fmt: skip
            if draw(st.booleans()):
                fields["input"] = draw(OBJECTS)
            events.append({"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}})
        elif step == "delta":
            kind = draw(st.sampled_from(list(_DELTAS)))
            own = kind.removesuffix("_delta")
            if own == "text" and index not in under_way:
                under_way[index], latest["text"] = "text", index
            if own in ("text", "thinking") and under_way.get(index) == own and latest[own] != index:
                continue
            delta = {"type": kind, _DELTAS[kind]: draw(TEXT)}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        elif step == "stop":
            under_way.pop(index, None)
            events.append({"type": "content_block_stop", "index": index})
        else:
            events.append(draw(_OTHER))
    return [*events, {"type": "message_stop"}, *draw(st.lists(_OTHER, max_size=2))]


_USAGES = st.one_of(st.none(), st.fixed_dictionaries({}, optional={"input_tokens": COUNTS, "output_tokens": COUNTS}))
_STOPS = st.sampled_from([None, "end_turn", "tool_use", "refusal", "max_tokens"])
_OTHER = st.one_of(
    st.builds(lambda u, s: {"type": "message_start", "message": {"usage": u, "stop_reason": s}}, _USAGES, _STOPS),
    st.builds(lambda u, s: {"type": "message_delta", "delta": {"stop_reason": s}, "usage": u}, _USAGES, _STOPS),
    NOISE,
    st.sampled_from([{"type": "message_start"}, {"type": "message_delta"}, {"type": "content_block_start"},
                     {"type": "content_block_delta", "index": 0}, {}]),
)  # fmt: skip


@st.composite
def framed(draw: st.DrawFn, events: list[dict[str, Any]]) -> bytes:
    """Events as bytes, with any legal framing: line ends of all kinds, data in several lines, unused fields."""
    ends = draw(st.sampled_from([[b"\n"], [b"\r\n"], [b"\r"], [b"\n", b"\r\n", b"\r"]]))
    lines: list[bytes] = [b"", b": hello", b""] if draw(st.booleans()) else []
    for event in events:
        space, indent = draw(st.sampled_from([b" ", b""])), draw(st.sampled_from([None, None, 0, 1]))
        data = json.dumps(event, ensure_ascii=draw(st.booleans()), indent=indent).encode()
        lines += draw(st.sampled_from([[b"event:" + space + event.get("type", "").encode()], []]))
        lines += draw(st.sampled_from([[], [], [b": comment"], [b"id: 7"], [b"retry: 5"], [b"news"], [b"databank: 1"]]))
        lines += [b"data:" + space + line for line in data.split(b"\n")] + [b""]
    out, last = [draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))], b""
    for line in lines:
        end = draw(st.sampled_from(ends)) if len(ends) > 1 else ends[0]
        if last == b"\r" and not line and end == b"\n":
            end = b"\r"  # CR, nothing, LF would be one line end
        out += [line, end]
        last = end
    return b"".join(out)


def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Bytes in random pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
