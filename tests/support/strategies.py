"""Generated traffic: upstream replies with the streams that tell them, and client conversations."""

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


@st.composite
def _block(draw: st.DrawFn, number: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(["text", "text", "thinking", "redacted", "tool", "tool", "server", "unknown"]))
    if kind == "text":
        block: dict[str, Any] = {"type": "text", "text": draw(TEXT)}
        return block | ({"citations": draw(st.lists(CITATIONS, max_size=2))} if draw(st.booleans()) else {})
    if kind == "thinking":
        return {"type": "thinking", "thinking": draw(TEXT), "signature": draw(st.sampled_from(["", "c2ln", "c2ln2"]))}
    if kind == "redacted":
        return {"type": "redacted_thinking", "data": draw(st.sampled_from(["ZGF0YQ==", "eA=="]))}
    if kind == "tool":
        value = draw(OBJECTS)
        return {"type": "tool_use", "id": f"toolu_vrtx_{number}", "name": draw(NAMES), "input": value}
    if kind == "server":
        return {
            "type": "server_tool_use",
            "id": f"srvtoolu_vrtx_{number}",
            "name": "web_search",
            "input": draw(OBJECTS),
        }
    return {"type": "hologram", "text": draw(TEXT), "voxels": [1, 2]}


@st.composite
def replies(draw: st.DrawFn) -> dict[str, Any]:
    """A whole Messages reply."""
    count = draw(st.integers(0, 5))
    blocks = [draw(_block(number)) for number in range(count)]
    stop = draw(
        st.sampled_from(["end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal", "pause_turn", "compaction",
                         "model_context_window_exceeded", "invented", None])
    )  # fmt: skip
    usage = {
        "input_tokens": draw(st.integers(0, 10**6)),
        "cache_creation_input_tokens": draw(COUNTS),
        "cache_read_input_tokens": draw(COUNTS),
        "output_tokens": draw(st.integers(0, 10**5)),
    }
    details = {"type": "refusal", "category": None, "explanation": draw(st.one_of(st.none(), WORDS))}
    return {
        "id": "msg_vrtx_1", "type": "message", "role": "assistant", "model": "claude", "content": blocks,
        "stop_reason": stop, "stop_sequence": None, "stop_details": details if stop == "refusal" else None,
        "usage": usage,
    }  # fmt: skip


def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _deltas(draw: st.DrawFn, block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins and what deltas complete it."""
    kind = block["type"]
    if kind == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(draw, block["text"])]
        deltas += [{"type": "citations_delta", "citation": c} for c in block.get("citations", ())]
        return {"type": "text", "text": ""}, deltas
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(draw, block["thinking"])]
        deltas += [{"type": "signature_delta", "signature": block["signature"]}]
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if kind in ("tool_use", "server_tool_use"):
        text = json.dumps(block["input"], ensure_ascii=False) if block["input"] or draw(st.booleans()) else ""
        deltas = [{"type": "input_json_delta", "partial_json": ""}] if draw(st.booleans()) else []
        deltas += [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(draw, text)]
        return {**block, "input": {}}, deltas
    return block, [{"type": "hologram_delta", "voxel": 1}] if kind == "hologram" else []


@st.composite
def streams(draw: st.DrawFn, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """A stream that tells ``reply``, with the noise real ones have."""
    noise = st.lists(st.sampled_from([{"type": "ping"}, {"type": "news", "delta": "?", "index": "one"}]), max_size=1)
    opening = {**reply, "content": [], "stop_reason": None, "stop_details": None}
    opening["usage"] = {**reply["usage"], "output_tokens": 1}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": opening}, *draw(noise)]
    for index, block in enumerate(reply["content"]):
        start, deltas = _deltas(draw, block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            events += [{"type": "content_block_delta", "index": index, "delta": delta}, *draw(noise)]
        events.append({"type": "content_block_stop", "index": index})
    if draw(st.booleans()):
        events.append({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2, "input_tokens": None}})
    end = {"stop_reason": reply["stop_reason"], "stop_sequence": None, "stop_details": reply["stop_details"]}
    usage = {"output_tokens": reply["usage"]["output_tokens"]}
    events.append({"type": "message_delta", "delta": end, "usage": usage})
    return [*events, *draw(noise), {"type": "message_stop"}]


@st.composite
def framed(draw: st.DrawFn, events: list[dict[str, Any]]) -> bytes:
    """Events as bytes, with any legal framing."""
    newline = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    out = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b": hello" + newline + newline]))
    for event in events:
        space = draw(st.sampled_from([b" ", b""]))
        data = json.dumps(event, ensure_ascii=draw(st.booleans())).encode()
        out += b"event:" + space + event["type"].encode() + newline
        out += draw(st.sampled_from([b"", b": comment" + newline, b"id: 7" + newline]))
        out += b"data:" + space + data + newline + newline
    return out


def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Bytes in random pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# --- client conversations -----------------------------------------------------------------------------------------

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}}
    for name in ("get_weather", "ns/tool.x")
]
_IDS = st.sampled_from(["call_1", "call_2", "functions.Bash:0", "", "toolu_vrtx_9"])
_ARGUMENTS = st.sampled_from(['{"b": 1, "a": [2]}', "", "{}", "null", "[]", "not json", '"text"', "7"])
_PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, TEXT),
        st.just({"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}}),
    ),
    max_size=3,
)
_CONTENT = st.one_of(TEXT, _PARTS, st.none())
_TEXT_CONTENT = st.one_of(TEXT, st.none(), st.lists(st.builds(lambda t: {"type": "text", "text": t}, TEXT), max_size=2))
_SIGNED = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


@st.composite
def _message(draw: st.DrawFn) -> dict[str, Any]:
    role = draw(st.sampled_from(["user", "user", "assistant", "assistant", "tool", "tool", "system", "developer"]))
    if role == "user":
        return {"role": role, "content": draw(_CONTENT)}
    if role == "tool":
        return {"role": role, "tool_call_id": draw(_IDS), "content": draw(_CONTENT)}
    if role != "assistant":
        return {"role": role, "content": draw(_TEXT_CONTENT)}
    message: dict[str, Any] = {"role": role, "content": draw(_TEXT_CONTENT)}
    names = st.sampled_from(["get_weather", "ns/tool.x", "x" * 200])
    calls = draw(st.lists(st.tuples(_IDS, names, _ARGUMENTS), max_size=2))
    if calls:
        message["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id, name, arguments in calls
        ]
    if draw(st.integers(0, 4)) == 0:
        message["thinking_blocks"] = [draw(st.sampled_from([_SIGNED, {"type": "thinking", "thinking": "unsigned"}]))]
    return message


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """A request whose messages come in any order and repetition."""
    messages = draw(st.lists(_message(), min_size=1, max_size=10))
    return {"model": "claude", "messages": messages, "tools": TOOLS}
