"""The content of a reply: its order, prefill, output schemas, and that it is deterministic."""

from __future__ import annotations

import json
from typing import Any

from support.emulator_calls import ask, assistant, body_of, emulator, tool, tool_result, tool_use, user

APP = emulator()
WEATHER = tool(
    "get_weather", {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}
)


async def reply_text(words: Any, **fields: Any) -> str:
    return (await ask(APP, body_of(words, **fields))).text


async def calls(words: str, *tools: dict[str, Any], **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    answer = await ask(APP, body_of(words, tools=list(tools), **fields))
    assert answer.status == 200, answer.body
    assert (answer.json["stop_reason"] == "tool_use") is bool(answer.calls)
    return answer.calls


async def test_a_sentence_precedes_a_call_unless_it_is_forced() -> None:
    free = await ask(APP, body_of("Weather in Paris?", tools=[WEATHER]))
    assert [b["type"] for b in free.json["content"]] == ["text", "tool_use"]
    forced = await ask(APP, body_of("Weather in Paris?", tools=[WEATHER], tool_choice={"type": "any"}))
    assert [b["type"] for b in forced.json["content"]] == ["tool_use"]


async def test_the_same_request_gives_the_same_content_and_other_ids() -> None:
    body = body_of("Weather in Paris and London", tools=[WEATHER])
    one, two = (await ask(APP, body)).json, (await ask(APP, body)).json
    assert one["id"] != two["id"]
    ids = {b["id"] for reply in (one, two) for b in reply["content"] if b["type"] == "tool_use"}
    assert len(ids) == 4
    for reply in (one, two):
        for block in reply["content"]:
            block.pop("id", None)
    assert one["content"] == two["content"]
    assert one["usage"] == two["usage"]


async def test_two_emulators_of_one_seed_give_the_same_bytes() -> None:
    body = body_of("Weather in Paris", tools=[WEATHER])
    one, two, other = emulator(), emulator(), emulator(seed=5)
    assert (await ask(one, body)).body == (await ask(two, body)).body != (await ask(other, body)).body


async def test_a_prefill_is_continued() -> None:
    messages = [user("say exactly: The answer is 4."), assistant("The answer")]
    assert (await ask(APP, body_of(messages=messages))).text == " is 4."


async def test_structured_output_conforms_to_its_schema_and_uses_the_text() -> None:
    schema = {
        "type": "object",
        "properties": {
            "nickname": {"type": "string"},
            "city": {"type": "string"},
            "mood": {"enum": ["calm", "wild"]},
            "address": {"$ref": "#/$defs/address"},
            "scores": {"type": "array", "items": {"type": "number"}},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
        },
        "required": ["city", "mood", "address", "scores", "maybe"],
        "additionalProperties": False,
        "$defs": {
            "address": {
                "type": "object",
                "properties": {"email": {"type": "string", "format": "email"}},
                "required": ["email"],
                "additionalProperties": False,
            }
        },
    }
    wanted = {"format": {"type": "json_schema", "schema": schema}}
    words = await reply_text("A wild day in Oslo, write to ada@x.example", output_config=wanted)
    value = json.loads(words)
    assert list(value) == ["city", "mood", "address", "scores", "maybe", "nickname"]
    assert value["city"] == "Oslo"
    assert value["mood"] == "wild"
    assert value["address"] == {"email": "ada@x.example"}
    assert isinstance(value["scores"][0], int | float)
    assert value["maybe"] is True


async def test_tool_calls_take_precedence_over_an_output_schema() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    fields = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    assert await calls("Weather in Paris?", WEATHER, **fields) == [("get_weather", {"city": "Paris"})]
    messages = [user("Weather in Paris?"), assistant(tool_use("a")), user(tool_result("a"))]
    assert (await ask(APP, body_of(messages=messages, tools=[WEATHER], **fields))).text == "{}"
