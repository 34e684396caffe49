"""Generated requests of the Responses API: items in any order, as a client keeps a conversation."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from support.responses_requests import Json, assistant, call, compaction, function, output, reasoning
from support.strategies import TEXT, WORDS

_IMAGE = {"type": "input_image", "image_url": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}
_FILE = {"type": "input_file", "file_data": "JVBERi0xLjc=", "filename": "a.pdf"}
_PARTS = st.lists(
    st.one_of(st.builds(lambda text: {"type": "input_text", "text": text}, TEXT), st.sampled_from([_IMAGE, _FILE])),
    max_size=3,
)
_CONTENT = st.one_of(TEXT, _PARTS)
_IDS = st.sampled_from(["c1", "c2", "c3", "c4", "call_0", "é", "x" * 200])
_NAMES = st.sampled_from(["f", "g", "send", "exec", "ns/tool.x", "unavailable"])
_NAMESPACES = st.sampled_from([{}, {}, {"namespace": "mail"}, {"namespace": "functions"}])
_ARGUMENTS = st.sampled_from(["{}", "", '{"b": 1}', "not json", "[1]"])
_OUTPUTS = st.one_of(_CONTENT, st.sampled_from([None, {"ok": True}, [1, 2], 7]))
_MODELS = st.sampled_from(["claude-sonnet-4-6", "claude-sonnet-4-6", "claude-opus-4-6"])
TOOLS: list[Json] = [
    function("f"),
    {"type": "custom", "name": "exec", "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}},
    {"type": "namespace", "name": "mail", "description": "Mail.", "tools": [function("send"), function("g")]},
    {"type": "local_shell"},
    {"type": "web_search"},
]


@st.composite
def _call(draw: st.DrawFn, id: str) -> tuple[Json, Json]:
    """A call and its output."""
    kind = draw(st.sampled_from(["function", "function", "custom", "local_shell", "shell", "apply_patch"]))
    if kind == "function":
        made = call(id, draw(_NAMES), draw(_ARGUMENTS), **draw(_NAMESPACES))
        return made, output(id, draw(_OUTPUTS))
    if kind == "custom":
        made = {"type": "custom_tool_call", "call_id": id, "name": draw(_NAMES), "input": draw(TEXT)}
        return made, {"type": "custom_tool_call_output", "call_id": id, "output": draw(_OUTPUTS)}
    made = {"type": f"{kind}_call", "call_id": id, "action": {"commands": ["ls"]}, "operation": {"type": "x"}}
    return made, {"type": f"{kind}_call_output", "call_id": id, "output": draw(TEXT), "status": "failed"}


@st.composite
def _reply(draw: st.DrawFn, number: int | None) -> list[Json]:
    """What the model said, then the outputs of its calls, in any order.

    :param number: of the reply, for one as this gateway gave it: its ids are unique, its thinking of one model.
    """
    said: list[Json] = []
    response, index = f"resp_{draw(st.integers(0, 3)) if number is None else number}", 0
    outputs: list[Json] = []
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            model = draw(_MODELS) if number is None else "claude-sonnet-4-6"
            said.append(reasoning(index, response, model=model))
            index += 1
        if draw(st.booleans()):
            said.append(assistant(draw(TEXT)))
        else:
            made, result = draw(_call(draw(_IDS) if number is None else f"c_{number}_{len(said)}"))
            said.append(made)
            outputs.append(result)
    return said + list(draw(st.permutations(outputs)))


_FOREIGN = {"type": "reasoning", "id": "rs_x", "summary": [], "content": None, "encrypted_content": "gAAAA"}
_RARE: list[Json] = [
    _FOREIGN,
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "mcp_call", "id": "mcp_1", "name": "x", "arguments": "{}", "server_label": "s"},
    {"type": "tool_search_output", "tools": [function("later"), function("f", description="again")]},
    {"type": "additional_tools", "role": "developer", "tools": [function("more")]},
    {"type": "configuration_update", "reasoning": {"effort": "low"}},
    {"type": "agent_message", "content": [{"type": "input_text", "text": "from an agent"}]},
    compaction("what came before"),
    output("nobody"),
]


@st.composite
def conversations(draw: st.DrawFn, *, own: bool = False) -> list[Json]:
    """Items of a conversation, which mostly begins with system messages and ends with the user.

    :param own: every reply in it is one that this gateway gave.
    """
    items: list[Json] = [
        {"role": draw(st.sampled_from(["system", "developer"])), "content": draw(TEXT)}
        for _ in range(draw(st.integers(0, 2)))
    ]
    for _ in range(draw(st.integers(1, 4))):
        step: Any = draw(st.sampled_from(["user", "user", "reply", "reply", "system", "rare"]))
        if step == "reply":
            items += draw(_reply(len(items) if own else None))
        elif step == "rare":
            items.append(draw(st.sampled_from(_RARE[2:] if own else _RARE)))
        else:
            items.append({"role": "user" if step == "user" else "developer", "content": draw(TEXT)})
    if draw(st.integers(0, 3)):
        items.append({"role": "user", "content": draw(st.one_of(WORDS, _CONTENT))})
    return items
