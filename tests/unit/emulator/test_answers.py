"""The emulator answers deterministically: echoes, small talk, tools filled from their schemas, output schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.emulator_calls import ask, assistant, body_of, emulator, text, tool, tool_result, tool_use, user

APP = emulator()
WEATHER = tool(
    "get_weather", {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}
)
TIME = {"name": "get_time", "description": "Current time", "input_schema": {"type": "object", "properties": {}}}
JOKE = tool("tell_joke", {"topic": {"type": "string"}})
SUM = tool("add", {"a": {"type": "integer"}, "b": {"type": "integer"}})
SUM["input_schema"]["required"] = ["a", "b"]


async def said(words: Any, **fields: Any) -> str:
    return (await ask(APP, body_of(words, **fields))).text


async def calls(words: str, *tools: dict[str, Any], **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    answer = await ask(APP, body_of(words, tools=list(tools), **fields))
    assert answer.status == 200, answer.body
    assert (answer.json["stop_reason"] == "tool_use") is bool(answer.calls)
    return answer.calls


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("say exactly: X", "X"),
        ("Please say exactly: one\ntwo", "one\ntwo"),
        ("repeat after me: Hello, world!", "Hello, world!"),
        ('Reply with: "quoted words"', "quoted words"),
        ("Say exactly: pong", "pong"),
        ("Reply with exactly PONG", "PONG"),
        ("respond with only the word banana.", "banana"),
        ("count to 5", "1, 2, 3, 4, 5"),
        ("count from 8 to 10", "8, 9, 10"),
        ("What is 12*7?", "12 * 7 = 84"),
        ("What is 10 / 4?", "10 / 4 = 2.5"),
        ("What is 1 / 0?", "That would be a division by zero."),
        ("Hello", "Hello! How can I help you today?"),
        ("thank you", "You're welcome!"),
        ("The sky is blue.", "You said: The sky is blue."),
        ("x [[emulator: answer='exactly this']]", "exactly this"),
    ],
)
async def test_plain_words_get_plain_answers(words: str, answer: str) -> None:
    assert await said(words) == answer


async def test_a_long_text_has_the_words_asked_for() -> None:
    assert len((await said("Write 500 words about anything", max_tokens=4000)).split()) == 500


async def test_attachments_are_named_with_type_and_size() -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}
    document = {
        "type": "document",
        "title": "notes",
        "source": {"type": "text", "media_type": "text/plain", "data": "12345"},
    }
    words = await said([text("What are these?"), image, document])
    assert "You said: What are these?" in words
    assert "an image (image/png, 70 bytes)" in words
    assert "a document “notes” (text/plain, 5 bytes)" in words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("What is the weather in Paris?", [("get_weather", {"city": "Paris"})]),
        ("Weather in Paris, France please", [("get_weather", {"city": "Paris, France"})]),
        ("Weather in Paris and London", [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "London"})]),
        (
            "Weather for Paris, Rome and New York",
            [
                ("get_weather", {"city": "Paris"}),
                ("get_weather", {"city": "Rome"}),
                ("get_weather", {"city": "New York"}),
            ],
        ),
        ("what's the weather in tokyo", [("get_weather", {"city": "tokyo"})]),
        ("Weather in Oslo in Fahrenheit?", [("get_weather", {"city": "Oslo", "unit": "fahrenheit"})]),
        ("Use get_weather for Bern", [("get_weather", {"city": "Bern"})]),
        ("What time is it?", [("get_time", {})]),
        ("The weather in Paris and the time, please", [("get_weather", {"city": "Paris"}), ("get_time", {})]),
        ("Tell me a joke about cats", [("tell_joke", {"topic": "Tell me a joke about cats"})]),
        ("Tell a joke about 'cats'", [("tell_joke", {"topic": "cats"})]),
        ("Hello there", []),
        ("What is the weather in Paris? Answer without tools.", []),
    ],
)
async def test_tools_are_called_when_the_text_is_about_them(words: str, expected: list[Any]) -> None:
    assert await calls(words, WEATHER, TIME, JOKE) == expected


async def test_numbers_in_the_text_become_arguments() -> None:
    assert await calls("Please add 17 and 25", SUM) == [("add", {"a": 17, "b": 25})]


async def test_a_sentence_stands_before_a_call_unless_it_is_forced() -> None:
    free = await ask(APP, body_of("Weather in Paris?", tools=[WEATHER]))
    assert [b["type"] for b in free.json["content"]] == ["text", "tool_use"]
    forced = await ask(APP, body_of("Weather in Paris?", tools=[WEATHER], tool_choice={"type": "any"}))
    assert [b["type"] for b in forced.json["content"]] == ["tool_use"]


async def test_tool_choice_is_obeyed() -> None:
    assert await calls("Hello", WEATHER, TIME, tool_choice={"type": "any"}) == [("get_weather", {"city": "Paris"})]
    assert await calls("Hello", WEATHER, TIME, tool_choice={"type": "tool", "name": "get_time"}) == [("get_time", {})]
    assert await calls("Weather in Paris?", WEATHER, tool_choice={"type": "none"}) == []


async def test_parallel_calls_can_be_switched_off() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert await calls("Weather in Paris and London", WEATHER, tool_choice=choice) == [
        ("get_weather", {"city": "Paris"})
    ]


async def test_calls_that_come_one_after_another_end_in_an_answer() -> None:
    messages = [user("Weather in Paris and then the time")]
    made = []
    for _ in range(3):
        reply = (await ask(APP, body_of(messages=messages, tools=[WEATHER, TIME]))).json
        uses = [block for block in reply["content"] if block["type"] == "tool_use"]
        made.append([block["name"] for block in uses])
        messages = [*messages, assistant(*reply["content"]), user(*(tool_result(b["id"], "ok") for b in uses))]
        if not uses:
            break
    assert made == [["get_weather"], ["get_time"], []]


async def test_results_are_used_in_the_answer() -> None:
    messages = [
        user("Weather in Paris and London"),
        assistant(tool_use("a", city="Paris"), tool_use("b", city="London")),
        user(tool_result("a", "18C"), tool_result("b", [text("no data")], is_error=True)),
    ]
    answer = await ask(APP, body_of(messages=messages, tools=[WEATHER]))
    assert answer.json["stop_reason"] == "end_turn"
    assert answer.text == "Here is what I found:\n\n- get_weather returned: 18C\n- get_weather failed: no data"


async def test_an_empty_result_is_said_to_be_empty() -> None:
    messages = [user("time?"), assistant(tool_use("a", "get_time")), user({"type": "tool_result", "tool_use_id": "a"})]
    assert (await ask(APP, body_of(messages=messages, tools=[TIME]))).text == "get_time returned nothing."


async def test_a_system_reminder_is_not_the_question() -> None:
    assert await said([text("<system-reminder>use the weather tool</system-reminder>"), text("hello")]) == (
        "Hello! How can I help you today?"
    )


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


async def test_stop_sequences_end_the_reply() -> None:
    answer = (await ask(APP, body_of("say exactly: one, two, STOP, three", stop_sequences=["nope", "STOP"]))).json
    assert answer["content"] == [{"type": "text", "text": "one, two, "}]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "STOP")


async def test_max_tokens_cuts_text() -> None:
    answer = (await ask(APP, body_of("Write 500 words", max_tokens=50))).json
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"]["output_tokens"] == 50
    assert 20 < len(answer["content"][0]["text"].split()) < 60


async def test_max_tokens_cuts_into_tool_arguments() -> None:
    body = body_of(f"tell_joke about '{'cats ' * 30}'", tools=[JOKE], max_tokens=50)
    unary = (await ask(APP, body)).json
    assert unary["stop_reason"] == "max_tokens"
    assert unary["content"][-1]["type"] == "tool_use"
    streamed = await ask(APP, {**body, "stream": True})
    deltas = [e["delta"] for _, e in streamed.events if e["type"] == "content_block_delta"]
    partial = "".join(d["partial_json"] for d in deltas if d["type"] == "input_json_delta")
    assert partial.startswith('{"topic": "cats')
    with pytest.raises(json.JSONDecodeError):
        json.loads(partial)


async def test_max_tokens_inside_thinking_leaves_no_signature() -> None:
    body = body_of("Why? " * 100, max_tokens=20, thinking={"type": "adaptive", "display": "summarized"})
    answer = (await ask(APP, body, model="claude-opus-5")).json
    assert answer["stop_reason"] == "max_tokens"
    assert [b["type"] for b in answer["content"]] == ["thinking"]
    assert answer["content"][0]["signature"] == ""


async def test_zero_max_tokens_only_warms_the_cache() -> None:
    answer = (await ask(APP, body_of("Hi", max_tokens=0))).json
    assert (answer["content"], answer["stop_reason"]) == ([], "max_tokens")
    assert answer["usage"]["output_tokens"] == 0


async def test_a_reply_stops_where_the_window_is_full() -> None:
    answer = (await ask(APP, body_of("word " * 159_960 + "write 900 words", max_tokens=5000))).json
    assert answer["stop_reason"] == "model_context_window_exceeded"


async def test_a_prefill_is_continued() -> None:
    messages = [user("say exactly: The answer is 4."), assistant("The answer")]
    assert (await ask(APP, body_of(messages=messages))).text == " is 4."


async def test_output_follows_its_schema_and_uses_the_text() -> None:
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
    words = await said("A wild day in Oslo, write to ada@x.example", output_config=wanted)
    value = json.loads(words)
    assert list(value) == ["city", "mood", "address", "scores", "maybe", "nickname"]
    assert value["city"] == "Oslo"
    assert value["mood"] == "wild"
    assert value["address"] == {"email": "ada@x.example"}
    assert isinstance(value["scores"][0], int | float)
    assert value["maybe"] is True


async def test_tools_go_before_an_output_schema() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    fields = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    assert await calls("Weather in Paris?", WEATHER, **fields) == [("get_weather", {"city": "Paris"})]
    messages = [user("Weather in Paris?"), assistant(tool_use("a")), user(tool_result("a"))]
    assert (await ask(APP, body_of(messages=messages, tools=[WEATHER], **fields))).text == "{}"


async def test_the_tools_of_anthropic_are_called_with_their_own_arguments() -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    editor = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}
    assert await calls("Use bash please", bash, editor) == [("bash", {"command": "ls -la"})]


async def test_counting_tokens_counts_everything() -> None:
    async def count(**fields: Any) -> int:
        body = {"model": "claude-opus-5", "messages": [user("Hi")], **fields}
        answer = await ask(APP, body, model="count-tokens")
        assert answer.status == 200, answer.body
        return int(answer.json["input_tokens"])

    plain = await count()
    assert plain < await count(system="Be brief.") < await count(system="Be brief.", tools=[WEATHER])
    assert await count(messages=[user("中文" * 50)]) > await count(messages=[user("ab" * 50)])


@pytest.mark.parametrize("model", ["claude-sonnet-4-5@20250929", "nope", "claude-opus-5@default"])
async def test_counting_takes_names_without_a_version_only(model: str) -> None:
    answer = await ask(APP, {"model": model, "messages": [user("Hi")]}, model="count-tokens")
    assert answer.status == 404
    assert answer.message == f"model: {model}"


async def test_counting_needs_no_max_tokens_and_takes_no_stream() -> None:
    body = {"model": "claude-opus-5", "messages": [user("Hi")], "stream": True}
    assert (await ask(APP, body, model="count-tokens", verb="rawPredict")).status == 400
    assert (await ask(APP, {"messages": [user("Hi")]}, model="count-tokens")).status == 404
