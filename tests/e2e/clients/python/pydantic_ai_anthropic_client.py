"""pydantic-ai's agents over its AnthropicModel, with ``AsyncAnthropicVertex`` where CLIENTS_MODE says so."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

import anthropic
from common import ABOUT, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, case, caught, main
from messages_common import (
    FOLLOW_UP,
    IS_VERTEX,
    KEY,
    MAX_TOKENS,
    URL,
    URL_WITHOUT_RETRIES,
    VERTEX,
    fault,
    in_stream,
    thinking_of,
)
from pydantic_ai import Agent, BinaryContent, NativeOutput
from pydantic_ai.messages import ModelRequest, ModelResponse, ThinkingPart, ToolCallPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.providers.anthropic import AnthropicProvider


def run_with(model: str, use: Callable[[AnthropicModel], Awaitable[Any]], url: str = URL) -> Any:
    """A client of its own for each case, closed in the loop it was opened in."""

    async def run() -> Any:
        client = (
            anthropic.AsyncAnthropicVertex(base_url=f"{url}/v1", access_token=KEY, **VERTEX)
            if IS_VERTEX
            else anthropic.AsyncAnthropic(base_url=url, api_key=KEY)
        )
        async with client:
            return await use(AnthropicModel(model, provider=AnthropicProvider(anthropic_client=client)))

    return asyncio.run(run())


def get_weather(city: str) -> str:
    """The current weather of a city"""
    return SKY[city]


def used(usage: Any) -> dict[str, int]:
    return {"input": usage.input_tokens, "output": usage.output_tokens}


def parts_of(result: Any, kind: type) -> list[Any]:
    responses = [message for message in result.all_messages() if isinstance(message, ModelResponse)]
    return [part for response in responses for part in response.parts if isinstance(part, kind)]


def cities_of(result: Any) -> list[str]:
    return [call.args_as_dict()["city"] for call in parts_of(result, ToolCallPart)]


async def read(_: Any, events: AsyncIterable[Any]) -> None:
    """With a handler of events, every request of a run streams."""
    async for _event in events:
        pass


@case
def chat(model: str) -> Any:
    async def use(chat_model: AnthropicModel) -> Any:
        result = await Agent(chat_model).run(ECHO)
        return {"text": result.output, "usage": used(result.usage)}

    return run_with(model, use)


@case
def stream(model: str) -> Any:
    async def use(chat_model: AnthropicModel) -> Any:
        async with Agent(chat_model).run_stream(ECHO) as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return {"text": "".join(pieces), "pieces": len(pieces), "usage": used(result.usage)}

    return run_with(model, use)


@case
def tools(model: str) -> Any:
    async def use(chat_model: AnthropicModel) -> Any:
        result = await Agent(chat_model, tools=[get_weather]).run(WEATHER)
        return {"cities": cities_of(result), "text": result.output}

    return run_with(model, use)


@case
def thinking(model: str) -> Any:
    async def use(chat_model: AnthropicModel) -> Any:
        settings = AnthropicModelSettings(max_tokens=MAX_TOKENS, anthropic_thinking=thinking_of(model))
        agent = Agent(chat_model, tools=[get_weather], model_settings=settings)
        result = await agent.run(WEATHER, event_stream_handler=read)
        signatures = [part.signature for part in parts_of(result, ThinkingPart)]
        last = await agent.run(FOLLOW_UP, message_history=result.all_messages(), event_stream_handler=read)
        cities, text = cities_of(result), result.output
        return {"cities": cities, "text": text, "signatures": signatures, "last": last.output}

    return run_with(model, use)


@case
def structured(model: str) -> Any:
    async def use(chat_model: AnthropicModel) -> Any:
        return (await Agent(chat_model, output_type=NativeOutput(Report)).run(ABOUT)).output.model_dump()

    return run_with(model, use)


@case
def image(model: str) -> Any:
    async def use(chat_model: AnthropicModel) -> Any:
        picture = BinaryContent(base64.b64decode(PICTURE.partition(",")[2]), media_type="image/png")
        return {"text": (await Agent(chat_model).run([LOOK, picture])).output}

    return run_with(model, use)


@case
def count_tokens(model: str) -> Any:
    async def use(chat_model: AnthropicModel) -> Any:
        messages = [ModelRequest(parts=[UserPromptPart(ECHO)])]
        return {"count": (await chat_model.count_tokens(messages, None, ModelRequestParameters())).input_tokens}

    return run_with(model, use)


def failure_of(model: str, prompt: str) -> Any:
    return caught(lambda: run_with(model, lambda chat_model: Agent(chat_model).run(prompt), URL_WITHOUT_RETRIES))


@case
def bad_request(model: str) -> Any:
    return failure_of(model, fault('status=400 message="no such luck"', model))


@case
def unknown_model(model: str) -> Any:
    return failure_of(model + "-no", ECHO)


@case
def rate_limit(model: str) -> Any:
    return failure_of(model, fault("status=429", model))


@case
def overloaded(model: str) -> Any:
    return failure_of(model, fault("status=529", model))


@case
def broken_stream(model: str) -> Any:
    async def use(chat_model: AnthropicModel) -> Any:
        async with Agent(chat_model).run_stream(in_stream("error_after_event=6")) as result:
            return await result.get_output()

    return caught(lambda: run_with(model, use))


@case
def cut_stream(model: str) -> Any:
    async def use(chat_model: AnthropicModel) -> Any:
        async with Agent(chat_model).run_stream(in_stream("truncate_after_event=6")) as result:
            return await result.get_output()

    return caught(lambda: run_with(model, use))


main()
