"""The anthropic SDK: ``Anthropic``, and ``AnthropicVertex`` where CLIENTS_MODE says so."""

from __future__ import annotations

from typing import Any

import anthropic
from common import ECHO, SKY, WEATHER, case, caught, main
from messages_common import (
    BATCH,
    BETAS,
    FOLLOW_UP,
    IS_VERTEX,
    KEY,
    MAX_TOKENS,
    URL,
    URL_WITHOUT_RETRIES,
    VERTEX,
    WEATHER_TOOL,
    fault,
    in_stream,
    thinking_of,
)


def open_client(url: str = URL, key: str = KEY) -> Any:
    if IS_VERTEX:
        return anthropic.AnthropicVertex(base_url=f"{url}/v1", access_token=key, **VERTEX)
    return anthropic.Anthropic(base_url=url, api_key=key)


client = open_client()
plain = open_client(URL_WITHOUT_RETRIES)


def ask(model: str, messages: Any, **more: Any) -> dict[str, Any]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return {"model": model, "max_tokens": MAX_TOKENS, "messages": messages, **more}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def used(usage: Any) -> dict[str, int]:
    return {"input": usage.input_tokens, "output": usage.output_tokens}


def unary(**asked: Any) -> Any:
    return client.messages.create(**{**asked, "max_tokens": 4000})


def streamed(**asked: Any) -> Any:
    with client.messages.stream(**asked) as stream:
        return stream.get_final_message()


def results_of(message: Any) -> list[dict[str, Any]]:
    calls = [block for block in message.content if block.type == "tool_use"]
    return [{"type": "tool_result", "tool_use_id": call.id, "content": SKY[call.input["city"]]} for call in calls]


def loop(model: str, get: Any, **more: Any) -> tuple[dict[str, Any], list[Any]]:
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    answer = get(**ask(model, messages, tools=[WEATHER_TOOL], **more))
    cities = [block.input["city"] for block in answer.content if block.type == "tool_use"]
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results_of(answer)}]
    final = get(**ask(model, messages, tools=[WEATHER_TOOL], **more))
    messages.append({"role": "assistant", "content": final.content})
    return {"cities": cities, "text": text_of(final)}, messages


@case
def chat(model: str) -> Any:
    message = unary(**ask(model, ECHO))
    return {"text": text_of(message), "usage": used(message.usage), "request_id": message._request_id}


@case
def stream(model: str) -> Any:
    with client.messages.stream(**ask(model, ECHO)) as events:
        pieces = list(events.text_stream)
        message, request_id = events.get_final_message(), events.request_id
    return {
        "text": "".join(pieces),
        "pieces": len(pieces),
        "usage": used(message.usage),
        "request_id": request_id,
    }


@case
def tools(model: str) -> Any:
    return loop(model, unary)[0]


@case
def tools_stream(model: str) -> Any:
    return loop(model, streamed)[0]


@case
def tools_run(model: str) -> Any:
    """The SDK's own loop."""
    cities = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The current weather of a city"""
        cities.append(city)
        return SKY[city]

    runner = client.beta.messages.tool_runner(**ask(model, WEATHER, tools=[get_weather], stream=True))
    final = None
    for events in runner:
        final = events.get_final_message()
    return {"cities": cities, "text": text_of(final)}


@case
def thinking(model: str) -> Any:
    """Three turns: a question, the results of its tools, another question."""
    more = {"thinking": thinking_of(model)}
    result, messages = loop(model, streamed, **more)
    blocks = [b for m in messages if m["role"] == "assistant" for b in m["content"] if b.type == "thinking"]
    messages.append({"role": "user", "content": FOLLOW_UP})
    last = streamed(**ask(model, messages, tools=[WEATHER_TOOL], **more))
    return result | {"signatures": [block.signature for block in blocks], "last": text_of(last)}


@case
def count_tokens(model: str) -> Any:
    asked = {"model": model, "messages": [{"role": "user", "content": ECHO}], "tools": [WEATHER_TOOL]}
    beta = client.beta.messages.count_tokens(**asked, betas=BETAS)
    return {"count": client.messages.count_tokens(**asked).input_tokens, "beta": beta.input_tokens}


@case
def betas(model: str) -> Any:
    return {"text": text_of(client.beta.messages.create(**ask(model, ECHO) | {"max_tokens": 4000}, betas=BETAS))}


@case
def long_context_name(model: str) -> Any:
    """Claude Code writes names so, for itself; people copy them into other clients."""
    return {"text": text_of(unary(**ask(f"{model}[1m]", ECHO)))}


@case
def bad_request(model: str) -> Any:
    return caught(lambda: plain.messages.create(**ask(model, fault('status=400 message="no such luck"', model))))


@case
def unknown_model(model: str) -> Any:
    return caught(lambda: plain.messages.create(**ask(model + "-no", ECHO)))


@case
def rate_limit(model: str) -> Any:
    return caught(lambda: plain.messages.create(**ask(model, fault("status=429", model))))


@case
def overloaded(model: str) -> Any:
    return caught(lambda: plain.messages.create(**ask(model, fault("status=529", model))))


@case
def overloaded_twice(model: str) -> Any:
    message = plain.messages.create(**ask(model, fault("status=529 times=2", model)))
    return {"text": text_of(message)}


@case
def broken_stream(model: str) -> Any:
    return caught(lambda: streamed(**ask(model, in_stream("error_after_event=6"))))


@case
def cut_stream(model: str) -> Any:
    return caught(lambda: streamed(**ask(model, in_stream("truncate_after_event=6"))))


@case
def unknown_key(model: str) -> Any:
    return caught(lambda: open_client(key="sk-somebody-elses").messages.create(**ask(model, ECHO)))


@case
def google_token(model: str) -> Any:
    return caught(lambda: open_client(key="ya29.a0AfH6SMBx-not-a-real-token").messages.create(**ask(model, ECHO)))


if not IS_VERTEX:  # paths of Anthropic's own API, which Vertex AI does not have

    @case
    def models(model: str) -> Any:
        one = client.models.retrieve(model)
        ids = [entry.id for entry in client.models.list(limit=1000)]
        return {"ids": ids, "one": one.id, "request_id": one._request_id}

    @case
    def batches(model: str) -> Any:
        return caught(lambda: client.messages.batches.create(requests=[BATCH | {"model": model}]))


main()
