"""The openai SDK on the Responses API: plain calls, its stream helper, parsed replies and stored responses.

It checks every response and every event by its own types.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
from common import ABOUT, ECHO, LOOK, PICTURE, SKY, WEATHER, WEATHER_SCHEMA, Report, case, caught, main
from messages_common import FOLLOW_UP, KEY, MAX_TOKENS, fault, in_stream
from responses_common import (
    BASE,
    BASE_WITHOUT_RETRIES,
    EFFORT,
    LONG,
    REFUSED,
    SEALED,
    SHORT,
    UNKNOWN_KEY,
    end,
    one_by_one,
)

client = openai.OpenAI(base_url=BASE, api_key=KEY, _strict_response_validation=True)
plain = openai.OpenAI(base_url=BASE_WITHOUT_RETRIES, api_key=KEY)
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The current weather of a city",
    "parameters": WEATHER_SCHEMA | {"additionalProperties": False},
    "strict": True,
}
THINK: Any = {
    "tools": [TOOL],
    "max_output_tokens": MAX_TOKENS,
    "reasoning": {"effort": EFFORT, "summary": "auto"},
}

Ask = Callable[[list[Any]], Any]


def helper(**given: Any) -> Ask:
    """A call by the SDK's stream helper, which checks the order of the events."""

    def ask(items: list[Any]) -> Any:
        with client.responses.stream(input=items, **given) as events:
            return events.get_final_response()

    return ask


def results_of(response: Any) -> list[Any]:
    """Results of the calls of a response."""
    calls = [item for item in response.output if item.type == "function_call"]
    return [
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": SKY[json.loads(call.arguments)["city"]],
        }
        for call in calls
    ]


def loop(ask: Ask, asked: list[str]) -> dict[str, Any]:
    """Several questions of one conversation, its history kept by the program as OpenAI's documentation has it."""
    items: list[Any] = []
    texts, cities, thoughts = [], [], 0
    for question in asked:
        items.append({"role": "user", "content": question})
        while True:
            response = ask(items)
            items += response.output
            thoughts += sum(item.type == "reasoning" for item in response.output)
            results = results_of(response)
            if not results:
                break
            cities += [json.loads(item.arguments)["city"] for item in response.output if item.type == "function_call"]
            items += results
        texts.append(response.output_text)
    return {"cities": cities, "text": texts[0], "thoughts": thoughts, "last": texts[-1]}


def used(response: Any) -> dict[str, int]:
    return {"input": response.usage.input_tokens, "output": response.usage.output_tokens}


def ending(response: Any) -> dict[str, Any]:
    why = response.incomplete_details and response.incomplete_details.reason
    refusals = [part.refusal for item in response.output if item.type == "message" for part in item.content
                if part.type == "refusal"]  # fmt: skip
    return {"text": response.output_text, "why": [response.status, why], "refusals": refusals}


@case
def chat(model: str) -> Any:
    response = client.responses.create(model=model, input=ECHO)
    return {"text": response.output_text, "usage": used(response)}


@case
def stream(model: str) -> Any:
    pieces, numbers = [], []
    for event in client.responses.create(model=model, input=ECHO, stream=True):
        numbers.append(event.sequence_number)
        if event.type == "response.output_text.delta":
            pieces.append(event.delta)
    assert numbers == list(range(len(numbers)))
    assert event.type == "response.completed"
    return {"text": "".join(pieces), "pieces": len(pieces), "usage": used(event.response)}


@case
def tools(model: str) -> Any:
    return loop(lambda items: client.responses.create(model=model, input=items, tools=[TOOL]), [WEATHER])


@case
def tools_stream(model: str) -> Any:
    return loop(helper(model=model, tools=[TOOL]), [WEATHER])


@case
def thinking(model: str) -> Any:
    return loop(helper(model=model, **THINK), [one_by_one("thinking"), FOLLOW_UP])


@case
def thinking_sealed(model: str) -> Any:
    asked = [one_by_one("thinking_sealed"), FOLLOW_UP]
    return loop(helper(model=model, store=False, include=[SEALED], **THINK), asked)


@case
def thinking_stored(model: str) -> Any:
    """Every request holds only what is new."""
    texts, cities, thoughts, before = [], [], 0, None
    for question in (one_by_one("thinking_stored"), FOLLOW_UP):
        items: list[Any] = [{"role": "user", "content": question}]
        while items:
            with client.responses.stream(model=model, input=items, previous_response_id=before, **THINK) as events:
                response = events.get_final_response()
            before, items = response.id, results_of(response)
            thoughts += sum(item.type == "reasoning" for item in response.output)
            cities += [json.loads(item.arguments)["city"] for item in response.output if item.type == "function_call"]
        texts.append(response.output_text)
    return {"cities": cities, "text": texts[0], "thoughts": thoughts, "last": texts[-1]}


@case
def structured(model: str) -> Any:
    response = client.responses.parse(model=model, input=ABOUT, text_format=Report)
    assert response.output_parsed is not None
    return response.output_parsed.model_dump()


@case
def structured_stream(model: str) -> Any:
    with client.responses.stream(model=model, input=ABOUT, text_format=Report) as events:
        parsed = events.get_final_response().output_parsed
    assert parsed is not None
    return parsed.model_dump()


@case
def structured_tool(model: str) -> Any:
    """A tool whose arguments the SDK parses."""
    tool: Any = openai.pydantic_function_tool(Report, name="write_report")
    response = client.responses.parse(model=model, input="Use write_report for Oslo", tools=[tool])
    call = next(item for item in response.output if item.type == "function_call")
    assert isinstance(call.parsed_arguments, Report)
    return call.parsed_arguments.model_dump()


@case
def image(model: str) -> Any:
    parts: Any = [{"type": "input_text", "text": LOOK}, {"type": "input_image", "image_url": PICTURE, "detail": "auto"}]
    return {"text": client.responses.create(model=model, input=[{"role": "user", "content": parts}]).output_text}


@case
def stored(model: str) -> Any:
    """The life of a stored response."""
    made = client.responses.create(model=model, input=ECHO, metadata={"topic": "echo"})
    read = client.responses.retrieve(made.id)
    listed = list(client.responses.input_items.list(made.id))
    client.responses.delete(made.id)
    return {
        "same": read.output == made.output and read.metadata == made.metadata,
        "input": [item.content[0].text for item in listed],  # type: ignore[union-attr]
        "gone": caught(lambda: client.responses.retrieve(made.id)),
        "continued": caught(
            lambda: client.responses.create(model=model, input=FOLLOW_UP, previous_response_id=made.id)
        ),
    }


@case
def count_tokens(model: str) -> Any:
    return {"count": client.responses.input_tokens.count(model=model, input=ECHO).input_tokens}


@case
def compacted(model: str) -> Any:
    """A compacted conversation goes on."""
    items: Any = [{"role": "user", "content": ECHO}, {"role": "assistant", "content": "one two three"}]
    compact = client.responses.compact(model=model, input=items)
    items = [*compact.output, {"role": "user", "content": FOLLOW_UP}]
    response = client.responses.create(model=model, input=items)
    return {"kinds": [item.type for item in compact.output], "last": response.output_text}


@case
def truncated(model: str) -> Any:
    return end(lambda: ending(client.responses.create(model=model, input=LONG, max_output_tokens=SHORT)))


@case
def truncated_stream(model: str) -> Any:
    return end(lambda: ending(helper(model=model, max_output_tokens=SHORT)([{"role": "user", "content": LONG}])))


@case
def refused(model: str) -> Any:
    return end(lambda: ending(client.responses.create(model=model, input=REFUSED)))


@case
def refused_stream(model: str) -> Any:
    return end(lambda: ending(helper(model=model)([{"role": "user", "content": REFUSED}])))


def failure_of(model: str, prompt: str) -> Any:
    return caught(lambda: plain.responses.create(model=model, input=prompt))


@case
def bad_request(model: str) -> Any:
    return failure_of(model, fault('status=400 message="no such luck"', model))


@case
def unknown_key(model: str) -> Any:
    return caught(lambda: client.with_options(api_key=UNKNOWN_KEY).responses.create(model=model, input=ECHO))


@case
def unknown_model(model: str) -> Any:
    return failure_of(model + "-no", ECHO)


@case
def rate_limit(model: str) -> Any:
    return failure_of(model, fault("status=429", model))


@case
def unavailable(model: str) -> Any:
    return failure_of(model, fault('status=503 message="out of service"', model))


@case
def unavailable_twice(model: str) -> Any:
    return {"text": plain.responses.create(model=model, input=fault("status=503 times=2", model)).output_text}


@case
def broken_stream(model: str) -> Any:
    """The last event says so; the SDK leaves it to the program to look."""
    for event in client.responses.create(model=model, input=in_stream("error_after_event=6"), stream=True):
        if event.type == "response.failed":
            assert event.response.error is not None
            return {"kind": "response.failed", "message": event.response.error.message}
    return {"kind": None, "said": event.type}


@case
def broken_stream_helper(model: str) -> Any:
    return caught(lambda: helper(model=model)([{"role": "user", "content": in_stream("error_after_event=6")}]))


@case
def cut_stream(model: str) -> Any:
    for event in client.responses.create(model=model, input=in_stream("truncate_after_event=6"), stream=True):
        if event.type == "response.failed":
            assert event.response.error is not None
            return {"kind": "response.failed", "message": event.response.error.message}
    return {"kind": None, "said": event.type}


main()
