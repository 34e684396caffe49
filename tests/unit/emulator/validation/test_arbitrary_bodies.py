"""Any body gets a reply or an error of the API: the emulator itself never fails."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.catalog import builtin
from support.emulator_calls import ask, assistant, body_of, emulator, text, tool, tool_result, tool_use, user

APP = emulator()
#: A model that accepts all of ``RICH``, chosen twice as often as all others together.
MODEL = "claude-opus-4-8"
MODELS = [c.id for c in builtin().cards]
FOREIGN = base64.b64encode(b"\x12\x48" + bytes(100)).decode()
RICH = body_of(
    messages=[
        user(text("Weather in Paris?", cache_control={"type": "ephemeral"})),
        assistant({"type": "thinking", "thinking": "x", "signature": FOREIGN}, text("a"), tool_use("a", city="Paris")),
        user(tool_result("a", [text("sunny")]), text("and?")),
        {"role": "system", "content": "Be brief."},
    ],
    system=[text("You help.")],
    tools=[tool(), {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}],
    tool_choice={"type": "auto", "disable_parallel_tool_use": False},
    thinking={"type": "adaptive", "display": "summarized"},
    output_config={
        "effort": "high",
        "format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}},
    },
    stop_sequences=["END"],
    temperature=1,
    metadata={"user_id": "u"},
    stream=False,
)
STRANGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["text", "tool_use", "object", "user", "assistant", "[[emulator: chunk=2]]", "#/$defs/x", "[[emulator:"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "role", "id", "name", "input", "source", "$ref", "properties"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


async def test_the_unchanged_body_is_accepted() -> None:
    answer = await ask(APP, RICH, model=MODEL)
    assert answer.status == 200, answer.body


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    own = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return own + [inner_path for key, inner in items for inner_path in paths(inner, (*path, key))]


PATHS = paths(RICH)


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    body = copy.deepcopy(RICH)
    at: Any = body
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return body


@settings(max_examples=1500, deadline=None)
@given(
    path=st.sampled_from(PATHS),
    value=STRANGE,
    model=st.just(MODEL) | st.just(MODEL) | st.sampled_from(MODELS),
    stream=st.booleans(),
)
async def test_a_body_with_one_strange_value(path: tuple[Any, ...], value: Any, model: str, stream: bool) -> None:
    body = changed(path, value)
    if stream and isinstance(body, dict) and path[0] != "stream":
        body["stream"] = True
    answer = await ask(APP, body, model=model, verb="rawPredict")
    assert answer.status in (200, 400, 404)
    if answer.status == 400:
        assert answer.json["error"]["message"]


@settings(max_examples=300, deadline=None)
@given(value=st.dictionaries(st.sampled_from([*RICH, "model", "x"]), STRANGE, max_size=6))
async def test_a_strange_body(value: dict[str, Any]) -> None:
    assert (await ask(APP, value)).status in (200, 400)
    assert (await ask(APP, value, model="count-tokens", verb="rawPredict")).status in (200, 400, 404)


@settings(max_examples=300, deadline=None)
@given(schema=STRANGE)
async def test_a_strange_schema_everywhere(schema: Any) -> None:
    for body in (
        body_of("use a please", tools=[{"name": "a", "input_schema": {"type": "object", "properties": {"p": schema}}}]),
        body_of(
            output_config={"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"p": schema}}}}
        ),
        body_of(output_config={"format": {"type": "json_schema", "schema": schema}}),
    ):
        answer = await ask(APP, body)
        assert answer.status in (200, 400)
        json.loads(answer.body)
