"""The anthropic SDK in asyncio: ``AsyncAnthropic``, and ``AsyncAnthropicVertex`` where CLIENTS_MODE says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
from common import ECHO, SKY, WEATHER, case, caught, main
from messages_common import (
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


def run_with(use: Callable[[Any], Awaitable[Any]], url: str = URL) -> Any:
    """A client of its own for each case, closed in the loop it was opened in."""

    async def run() -> Any:
        client: Any = (
            anthropic.AsyncAnthropicVertex(base_url=url, access_token=KEY, **VERTEX)
            if IS_VERTEX
            else anthropic.AsyncAnthropic(base_url=url, auth_token=KEY)
        )
        async with client:
            return await use(client)

    return asyncio.run(run())


def ask(model: str, messages: Any, **more: Any) -> dict[str, Any]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return {"model": model, "max_tokens": MAX_TOKENS, "messages": messages, **more}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def used(usage: Any) -> dict[str, int]:
    return {"input": usage.input_tokens, "output": usage.output_tokens}


async def streamed(client: Any, **asked: Any) -> Any:
    async with client.messages.stream(**asked) as stream:
        return await stream.get_final_message()


async def loop(client: Any, model: str, **more: Any) -> tuple[dict[str, Any], list[Any]]:
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    answer = await streamed(client, **ask(model, messages, tools=[WEATHER_TOOL], **more))
    calls = [block for block in answer.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": SKY[call.input["city"]]} for call in calls]
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    final = await streamed(client, **ask(model, messages, tools=[WEATHER_TOOL], **more))
    messages.append({"role": "assistant", "content": final.content})
    return {"cities": [call.input["city"] for call in calls], "text": text_of(final)}, messages


@case
def chat(model: str) -> Any:
    async def use(client: Any) -> Any:
        message = await client.messages.create(**ask(model, ECHO) | {"max_tokens": 4000})
        return {"text": text_of(message), "usage": used(message.usage), "request_id": message._request_id}

    return run_with(use)


@case
def stream(model: str) -> Any:
    """The events as they come, without the helper."""

    async def use(client: Any) -> Any:
        events = await client.messages.create(**ask(model, ECHO), stream=True)
        pieces, tokens = [], 0
        async for event in events:
            if event.type == "message_start":
                tokens = event.message.usage.input_tokens
            elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                pieces.append(event.delta.text)
            elif event.type == "message_delta":
                usage = {"input": tokens, "output": event.usage.output_tokens}
        request_id = events.response.headers["request-id"]
        return {"text": "".join(pieces), "pieces": len(pieces), "usage": usage, "request_id": request_id}

    return run_with(use)


@case
def tools_stream(model: str) -> Any:
    async def use(client: Any) -> Any:
        return (await loop(client, model))[0]

    return run_with(use)


@case
def thinking(model: str) -> Any:
    async def use(client: Any) -> Any:
        more = {"thinking": thinking_of(model)}
        result, messages = await loop(client, model, **more)
        blocks = [b for m in messages if m["role"] == "assistant" for b in m["content"] if b.type == "thinking"]
        messages.append({"role": "user", "content": FOLLOW_UP})
        last = await streamed(client, **ask(model, messages, tools=[WEATHER_TOOL], **more))
        return result | {"signatures": [block.signature for block in blocks], "last": text_of(last)}

    return run_with(use)


@case
def count_tokens(model: str) -> Any:
    async def use(client: Any) -> Any:
        asked = {"model": model, "messages": [{"role": "user", "content": ECHO}]}
        return {"count": (await client.messages.count_tokens(**asked)).input_tokens}

    return run_with(use)


@case
def bad_request(model: str) -> Any:
    asked = ask(model, fault('status=400 message="no such luck"', model))
    return caught(lambda: run_with(lambda client: client.messages.create(**asked), URL_WITHOUT_RETRIES))


@case
def unknown_model(model: str) -> Any:
    asked = ask(model + "-no", ECHO)
    return caught(lambda: run_with(lambda client: client.messages.create(**asked), URL_WITHOUT_RETRIES))


@case
def rate_limit(model: str) -> Any:
    asked = ask(model, fault("status=429", model))
    return caught(lambda: run_with(lambda client: client.messages.create(**asked), URL_WITHOUT_RETRIES))


@case
def overloaded(model: str) -> Any:
    asked = ask(model, fault("status=529", model))
    return caught(lambda: run_with(lambda client: client.messages.create(**asked), URL_WITHOUT_RETRIES))


@case
def cut_stream(model: str) -> Any:
    asked = ask(model, in_stream("truncate_after_event=6"))
    return caught(lambda: run_with(lambda client: streamed(client, **asked)))


main()
