"""pydantic-ai's agents over its OpenAI chat model."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

import openai
from common import ABOUT, API_KEY, BASE_URL, BROKEN, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, case, caught, main
from pydantic_ai import Agent, BinaryContent, NativeOutput, ToolOutput
from pydantic_ai.messages import ModelResponse, ThinkingPart, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

REASON = OpenAIChatModelSettings(openai_reasoning_effort="high", max_tokens=20_000)


def run_with(model: str, use: Callable[[OpenAIChatModel], Awaitable[Any]]) -> Any:
    """A client of its own for each case, closed in the loop it was opened in."""

    async def run() -> Any:
        async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0) as client:
            return await use(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client)))

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


@case
def chat(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        result = await Agent(chat_model).run(ECHO)
        return {"text": result.output, "usage": used(result.usage)}

    return run_with(model, use)


@case
def stream(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        async with Agent(chat_model).run_stream(ECHO) as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return {"text": "".join(pieces), "pieces": len(pieces), "usage": used(result.usage)}

    return run_with(model, use)


@case
def tools(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        result = await Agent(chat_model, tools=[get_weather]).run(WEATHER)
        return {"cities": cities_of(result), "text": result.output}

    return run_with(model, use)


@case
def tools_stream(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        async def look_on(_: Any, events: AsyncIterable[Any]) -> None:
            """With this, every request of the run streams; ``run_stream`` would stop at words before a call."""
            seen.extend([event async for event in events])

        seen: list[Any] = []
        result = await Agent(chat_model, tools=[get_weather]).run(WEATHER, event_stream_handler=look_on)
        assert seen
        return {"cities": cities_of(result), "text": result.output}

    return run_with(model, use)


@case
def structured(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        result = await Agent(chat_model, output_type=NativeOutput(Report)).run(ABOUT)
        return result.output.model_dump()

    return run_with(model, use)


@case
def structured_stream(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        async with Agent(chat_model, output_type=NativeOutput(Report)).run_stream(ABOUT) as result:
            return (await result.get_output()).model_dump()

    return run_with(model, use)


@case
def structured_by_tool(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        return (await Agent(chat_model, output_type=ToolOutput(Report)).run(ABOUT)).output

    return caught(lambda: run_with(model, use))


@case
def image(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        picture = BinaryContent(base64.b64decode(PICTURE.partition(",")[2]), media_type="image/png")
        return {"text": (await Agent(chat_model).run([LOOK, picture])).output}

    return run_with(model, use)


@case
def reasoning(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        result = await Agent(chat_model).run(ECHO, model_settings=REASON)
        thoughts = "".join(part.content for part in parts_of(result, ThinkingPart))
        return {
            "text": result.output,
            "reasoning": thoughts,
            "reasoning_tokens": result.usage.details["reasoning_tokens"],
        }

    return run_with(model, use)


@case
def reasoning_tools(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        result = await Agent(chat_model, tools=[get_weather]).run(WEATHER, model_settings=REASON)
        return {"cities": cities_of(result), "text": result.output}

    return run_with(model, use)


@case
def unknown_model(model: str) -> Any:
    return caught(lambda: run_with(model + "-no", lambda chat_model: Agent(chat_model).run(ECHO)))


@case
def bad_request(model: str) -> Any:
    hot = OpenAIChatModelSettings(temperature=3)
    return caught(lambda: run_with(model, lambda chat_model: Agent(chat_model).run(ECHO, model_settings=hot)))


@case
def broken_stream(model: str) -> Any:
    async def use(chat_model: OpenAIChatModel) -> Any:
        async with Agent(chat_model).run_stream(BROKEN) as result:
            return await result.get_output()

    return caught(lambda: run_with(model, use))


main()
