"""Plain text replies: echoes, greetings, sums, long texts, quoted tool results."""

from __future__ import annotations

from typing import Any

import pytest

from support.emulator_calls import ask, assistant, body_of, emulator, text, tool, tool_result, tool_use, user

APP = emulator()
WEATHER = tool(
    "get_weather", {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}
)
TIME = {"name": "get_time", "description": "Current time", "input_schema": {"type": "object", "properties": {}}}


async def reply_text(words: Any, **fields: Any) -> str:
    return (await ask(APP, body_of(words, **fields))).text


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
    assert await reply_text(words) == answer


async def test_a_long_text_has_the_requested_number_of_words() -> None:
    assert len((await reply_text("Write 500 words about anything", max_tokens=4000)).split()) == 500


async def test_attachments_are_named_with_type_and_size() -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}
    document = {
        "type": "document",
        "title": "notes",
        "source": {"type": "text", "media_type": "text/plain", "data": "12345"},
    }
    words = await reply_text([text("What are these?"), image, document])
    assert "You said: What are these?" in words
    assert "an image (image/png, 70 bytes)" in words
    assert "a document “notes” (text/plain, 5 bytes)" in words


async def test_results_are_used_in_the_answer() -> None:
    messages = [
        user("Weather in Paris and London"),
        assistant(tool_use("a", city="Paris"), tool_use("b", city="London")),
        user(tool_result("a", "18C"), tool_result("b", [text("no data")], is_error=True)),
    ]
    answer = await ask(APP, body_of(messages=messages, tools=[WEATHER]))
    assert answer.json["stop_reason"] == "end_turn"
    assert answer.text == "Here is what I found:\n\n- get_weather returned: 18C\n- get_weather failed: no data"


async def test_an_empty_result_is_reported_as_empty() -> None:
    messages = [user("time?"), assistant(tool_use("a", "get_time")), user({"type": "tool_result", "tool_use_id": "a"})]
    assert (await ask(APP, body_of(messages=messages, tools=[TIME]))).text == "get_time returned nothing."


async def test_a_system_reminder_is_not_the_question() -> None:
    assert await reply_text([text("<system-reminder>use the weather tool</system-reminder>"), text("hello")]) == (
        "Hello! How can I help you today?"
    )
