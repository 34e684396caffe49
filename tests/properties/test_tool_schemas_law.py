"""Law: whatever a client sends as the schema of a tool, and whatever strings it sends anywhere, what goes up in each
dialect is valid JSON Schema draft 2020-12 under legal keys, in valid UTF-8."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.emulator.validation.json_schema import check_valid
from support.asgi import Response, request
from support.blocks import reply_of, text
from support.fakes import FakeUpstream
from support.gateway import MODEL, PATH, PROJECT, gateway
from support.odd_schemas import NAMES, SCHEMA_VALUES, SCHEMAS, valid_by_jsonschema

Json = dict[str, Any]
LEGAL: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
REFUSED: Final = {"anyOf", "oneOf", "allOf"}
RAW: Final = f"/v1/projects/{PROJECT}/locations/global/publishers/anthropic/models/{MODEL}:rawPredict"
DIALECTS: Final = ("chat", "responses", "messages", "raw")
REFERENCES: Final = st.sampled_from(["#", "#/properties/a", "#/$defs/a", "#/anyOf/0", "#/properties/a%20b", "x", ""])
DRAFTS: Final = st.sampled_from([
    "http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#", "urn:x", "", 5, None, ["a"],
    "https://json-schema.org/draft/2020-12/schema",
])  # fmt: skip
#: What a root may have besides: references, also in a loop, and schemas that it combines.
ROOTS: Final = st.fixed_dictionaries({}, optional={
    "$ref": REFERENCES, "$schema": DRAFTS, "$id": SCHEMA_VALUES, "$anchor": SCHEMA_VALUES, "$vocabulary": SCHEMA_VALUES,
    "$defs": st.dictionaries(NAMES, st.one_of(SCHEMAS, st.fixed_dictionaries({"$ref": REFERENCES})), max_size=2),
    "anyOf": st.lists(SCHEMAS, max_size=2), "allOf": st.lists(SCHEMAS, max_size=2), "oneOf": SCHEMA_VALUES,
    "dependencies": st.dictionaries(NAMES, SCHEMA_VALUES, max_size=2), "if": SCHEMAS, "definitions": SCHEMA_VALUES,
})  # fmt: skip
ANY_SCHEMA: Final = st.one_of(SCHEMAS, st.tuples(SCHEMAS, ROOTS).map(lambda pair: pair[0] | pair[1]), SCHEMA_VALUES)
#: Half pairs, whole ones, and what looks like either.
STRINGS: Final = st.text(
    alphabet=st.one_of(st.sampled_from('\\"ud83\ud83d\ude00\udfff\ud800 {}'), st.characters(exclude_categories=())),
    max_size=8,
)


def body_of(dialect: str, tool: Json, said: str = "hi") -> Json:
    """A request with one tool: its name, its schema, its description."""
    if dialect == "chat":
        function = {"name": tool["name"], "parameters": tool["schema"], "description": tool["description"]}
        return {"model": MODEL, "messages": [{"role": "user", "content": said}],
                "tools": [{"type": "function", "function": function}]}  # fmt: skip
    if dialect == "responses":
        function = {"name": tool["name"], "parameters": tool["schema"], "description": tool["description"]}
        return {"model": MODEL, "input": said, "tools": [{"type": "function", **function}]}
    body = {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": said}],
        "tools": [{"name": tool["name"], "input_schema": tool["schema"], "description": tool["description"]}],
    }
    return body | ({"model": MODEL} if dialect == "messages" else {"anthropic_version": "vertex-2023-10-16"})


class World:
    """One gateway for all examples, since it takes long to build."""

    def __init__(self) -> None:
        self.upstream = FakeUpstream([])
        self.app = gateway(self.upstream)
        self.runner = asyncio.Runner()

    def posted(self, dialect: str, data: bytes) -> tuple[Response, Json | None]:
        """The response, and what went up."""
        path = {"chat": PATH, "responses": "/v1/responses", "messages": "/v1/messages", "raw": RAW}[dialect]
        self.upstream.script[:] = [reply_of(text("ok"))]
        self.upstream.calls.clear()
        self.upstream.replies.clear()
        response = self.runner.run(request(self.app, "POST", path, data))
        return response, self.upstream.body() if self.upstream.calls else None


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    yield world
    world.runner.close()


@pytest.mark.parametrize("dialect", DIALECTS)
@given(schema=ANY_SCHEMA)
def test_any_schema_goes_up_legal_or_is_refused_by_its_place(world: World, dialect: str, schema: Any) -> None:
    data = json.dumps(body_of(dialect, {"name": "f", "schema": schema, "description": "d"})).encode()
    response, sent = world.posted(dialect, data)
    if sent is None:
        assert response.status == 400
        assert "tools" in json.dumps(response.json())
        return
    made = sent["tools"][0]["input_schema"]
    if not isinstance(schema, dict) and dialect in ("messages", "raw"):
        assert made == schema  # Claude says what is wrong
        return
    assert valid_by_jsonschema(made)
    assert REFUSED.isdisjoint(made)
    check_valid(made, "what the emulator says")
    assert all(LEGAL.fullmatch(key) for key in made.get("properties", {}))
    if dialect in ("chat", "responses"):
        assert made["type"] == "object"


@pytest.mark.parametrize("dialect", DIALECTS)
@given(keys=st.sets(st.one_of(NAMES, STRINGS, st.from_regex(r"\A[ab]{1,2}__[0-9a-f]{12}\Z")), max_size=6))
def test_no_two_keys_become_one(world: World, dialect: str, keys: set[str]) -> None:
    known = {key.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for key in keys}
    schema = {"type": "object", "properties": {key: {"title": str(n)} for n, key in enumerate(sorted(keys))}}
    data = json.dumps(body_of(dialect, {"name": "f", "schema": schema, "description": "d"})).encode()
    response, sent = world.posted(dialect, data)
    if len(known) < len(keys) and sent is None:  # the client's own are one key twice
        assert response.status == 400
        return
    assert sent is not None
    made = sent["tools"][0]["input_schema"].get("properties", {})
    assert len(made) == len(known)
    assert all(map(LEGAL.fullmatch, made))


@pytest.mark.parametrize("dialect", DIALECTS)
@given(said=STRINGS, description=STRINGS, key=STRINGS, value=STRINGS, ascii_only=st.booleans())
def test_any_string_anywhere_goes_up_as_characters(
    world: World, dialect: str, said: str, description: str, key: str, value: str, *, ascii_only: bool
) -> None:
    schema = {"type": "object", "properties": {key: {"description": value, "enum": [value], "default": {value: key}}}}
    body = body_of(dialect, {"name": "f", "schema": schema, "description": f"d{description}"}, f"x{said}")
    data = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    response, sent = world.posted(dialect, data)
    assert response.status == 200, response.body
    assert sent is not None
    (message,) = sent["messages"]
    content = message["content"]
    shown = content if isinstance(content, str) else content[0]["text"]
    assert shown == f"x{said}".encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    json.dumps(sent, ensure_ascii=False).encode()
