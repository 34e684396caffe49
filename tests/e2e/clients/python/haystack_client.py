"""Haystack's OpenAIResponsesChatGenerator, alone and in an agent."""

from __future__ import annotations

import json
from typing import Annotated, Any

from common import ABOUT, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, case, caught, main
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage, ImageContent, StreamingChunk
from haystack.tools import tool
from haystack.utils import Secret
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

THINK: dict[str, Any] = {"reasoning": {"effort": EFFORT, "summary": "auto"}, "max_output_tokens": MAX_TOKENS}


@tool
def get_weather(city: Annotated[str, "its name"]) -> str:
    """The current weather of a city"""
    return SKY[city]


def generator(model: str, base: str = BASE, key: str = KEY, **given: Any) -> OpenAIResponsesChatGenerator:
    return OpenAIResponsesChatGenerator(
        model=model, api_base_url=base, api_key=Secret.from_token(key), generation_kwargs=given
    )


def ask(chat: OpenAIResponsesChatGenerator, prompt: str, **more: Any) -> ChatMessage:
    reply: ChatMessage = chat.run([ChatMessage.from_user(prompt)], **more)["replies"][0]
    return reply


def read(_: StreamingChunk) -> None:
    """With a callback, a request streams."""


def used(reply: ChatMessage) -> dict[str, int]:
    return {"input": reply.meta["usage"]["input_tokens"], "output": reply.meta["usage"]["output_tokens"]}


def loop(chat: OpenAIResponsesChatGenerator, asked: list[str], **more: Any) -> dict[str, Any]:
    agent = Agent(chat_generator=chat, tools=[get_weather], **more)
    messages: list[ChatMessage] = []
    texts = []
    for question in asked:
        messages = agent.run([*messages, ChatMessage.from_user(question)])["messages"]
        texts.append(messages[-1].text)
    cities = [call.arguments["city"] for message in messages for call in message.tool_calls]
    thoughts = sum(len(message.reasonings) for message in messages)
    return {"cities": cities, "text": texts[0], "thoughts": thoughts, "last": texts[-1]}


@case
def chat(model: str) -> Any:
    reply = ask(generator(model), ECHO)
    return {"text": reply.text, "usage": used(reply)}


@case
def stream(model: str) -> Any:
    pieces: list[str] = []
    reply = ask(generator(model), ECHO, streaming_callback=lambda chunk: pieces.append(chunk.content))
    assert reply.text == "".join(pieces)
    return {"text": reply.text, "pieces": sum(map(bool, pieces)), "usage": used(reply)}


@case
def tools(model: str) -> Any:
    return loop(generator(model), [WEATHER])


@case
def tools_stream(model: str) -> Any:
    return loop(generator(model), [WEATHER], streaming_callback=read)


@case
def thinking(model: str) -> Any:
    return loop(generator(model, **THINK), [one_by_one("thinking"), FOLLOW_UP], streaming_callback=read)


@case
def thinking_sealed(model: str) -> Any:
    asked = [one_by_one("thinking_sealed"), FOLLOW_UP]
    return loop(generator(model, **THINK, store=False, include=[SEALED]), asked, streaming_callback=read)


@case
def structured(model: str) -> Any:
    return json.loads(ask(generator(model, text_format=Report), ABOUT).text or "")


@case
def image(model: str) -> Any:
    picture = ImageContent(base64_image=PICTURE.partition(",")[2], mime_type="image/png")
    message = ChatMessage.from_user(content_parts=[LOOK, picture])
    return {"text": generator(model).run([message])["replies"][0].text}


def ending(reply: ChatMessage) -> dict[str, Any]:
    return {"text": reply.text or "", "why": [reply.meta.get("status"), reply.meta.get("finish_reason")]}


@case
def truncated(model: str) -> Any:
    return end(lambda: ending(ask(generator(model, max_output_tokens=SHORT), LONG)))


@case
def truncated_stream(model: str) -> Any:
    return end(lambda: ending(ask(generator(model, max_output_tokens=SHORT), LONG, streaming_callback=read)))


@case
def refused(model: str) -> Any:
    return end(lambda: ending(ask(generator(model), REFUSED)))


@case
def refused_stream(model: str) -> Any:
    return end(lambda: ending(ask(generator(model), REFUSED, streaming_callback=read)))


def failure_of(model: str, prompt: str) -> Any:
    return caught(lambda: ask(generator(model, BASE_WITHOUT_RETRIES), prompt))


@case
def bad_request(model: str) -> Any:
    return failure_of(model, fault('status=400 message="no such luck"', model))


@case
def unknown_key(model: str) -> Any:
    return caught(lambda: ask(generator(model, key=UNKNOWN_KEY), ECHO))


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
    return {"text": ask(generator(model, BASE_WITHOUT_RETRIES), fault("status=503 times=2", model)).text}


def broken(model: str, words: str) -> Any:
    return end(lambda: ending(ask(generator(model), in_stream(words), streaming_callback=read)))


@case
def broken_stream(model: str) -> Any:
    return broken(model, "error_after_event=6")


@case
def cut_stream(model: str) -> Any:
    return broken(model, "truncate_after_event=6")


main()
