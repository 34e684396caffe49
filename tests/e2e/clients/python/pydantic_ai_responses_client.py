"""pydantic-ai's agents over its OpenAIResponsesModel."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

import openai
from common import ABOUT, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, case, caught, main
from messages_common import FOLLOW_UP, KEY, MAX_TOKENS, fault, in_stream
from pydantic_ai import Agent, BinaryContent, NativeOutput, ToolOutput
from pydantic_ai.messages import ModelRequest, ModelResponse, ThinkingPart, ToolCallPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.providers.openai import OpenAIProvider
from responses_common import (
    BASE,
    BASE_WITHOUT_RETRIES,
    EFFORT,
    LONG,
    REFUSED,
    SHORT,
    UNKNOWN_KEY,
    end,
    one_by_one,
)

THINK: Any = {"openai_reasoning_effort": EFFORT, "openai_reasoning_summary": "auto", "max_tokens": MAX_TOKENS}


#: What it assumes of the names of OpenAI's reasoning models only. Without it, thinking is sent back as text.
SEALS: Any = {"openai_supports_encrypted_reasoning_content": True}


def run_with(
    model: str,
    use: Callable[[OpenAIResponsesModel], Awaitable[Any]],
    base: str = BASE,
    key: str = KEY,
    profile: Any = None,
) -> Any:
    """A client of its own for each case, closed in the loop it was opened in."""

    async def run() -> Any:
        async with openai.AsyncOpenAI(base_url=base, api_key=key) as client:
            provider = OpenAIProvider(openai_client=client)
            return await use(OpenAIResponsesModel(model, provider=provider, profile=profile))

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
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        result = await Agent(chat_model).run(ECHO)
        return {"text": result.output, "usage": used(result.usage)}

    return run_with(model, use)


@case
def stream(model: str) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        async with Agent(chat_model).run_stream(ECHO) as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return {"text": "".join(pieces), "pieces": len(pieces), "usage": used(result.usage)}

    return run_with(model, use)


@case
def tools(model: str) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        result = await Agent(chat_model, tools=[get_weather]).run(WEATHER)
        return {"cities": cities_of(result), "text": result.output}

    return run_with(model, use)


@case
def tools_stream(model: str) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        result = await Agent(chat_model, tools=[get_weather]).run(WEATHER, event_stream_handler=read)
        return {"cities": cities_of(result), "text": result.output}

    return run_with(model, use)


def converse(model: str, mark: str, profile: Any = None, **more: Any) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        settings = OpenAIResponsesModelSettings(**THINK, **more)
        agent = Agent(chat_model, tools=[get_weather], model_settings=settings)
        result = await agent.run(one_by_one(mark), event_stream_handler=read)
        last = await agent.run(FOLLOW_UP, message_history=result.all_messages(), event_stream_handler=read)
        return {
            "cities": cities_of(result),
            "text": result.output,
            "thoughts": len({part.id for part in parts_of(last, ThinkingPart)}),
            "last": last.output,
        }

    return run_with(model, use, profile=profile)


@case
def thinking(model: str) -> Any:
    return converse(model, "thinking", openai_send_reasoning_ids=True)


@case
def thinking_by_default(model: str) -> Any:
    """Thinking is sent back as an assistant's text."""
    return converse(model, "thinking_by_default")


@case
def thinking_sealed(model: str) -> Any:
    return converse(model, "thinking_sealed", SEALS, openai_store=False)


@case
def thinking_stored(model: str) -> Any:
    return converse(model, "thinking_stored", openai_previous_response_id="auto")


@case
def structured(model: str) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        return (await Agent(chat_model, output_type=NativeOutput(Report)).run(ABOUT)).output.model_dump()

    return run_with(model, use)


@case
def structured_stream(model: str) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        async with Agent(chat_model, output_type=NativeOutput(Report)).run_stream(ABOUT) as result:
            return (await result.get_output()).model_dump()

    return run_with(model, use)


@case
def structured_by_tool(model: str) -> Any:
    """Its default: a tool that the model has to call."""

    async def use(chat_model: OpenAIResponsesModel) -> Any:
        return (await Agent(chat_model, output_type=ToolOutput(Report)).run(ABOUT)).output

    return caught(lambda: run_with(model, use))


@case
def image(model: str) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        picture = BinaryContent(base64.b64decode(PICTURE.partition(",")[2]), media_type="image/png")
        return {"text": (await Agent(chat_model).run([LOOK, picture])).output}

    return run_with(model, use)


@case
def count_tokens(model: str) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        messages: Any = [ModelRequest(parts=[UserPromptPart(ECHO)])]
        return {"count": (await chat_model.count_tokens(messages, None, ModelRequestParameters())).input_tokens}

    return run_with(model, use)


def ending(model: str, prompt: str, *, stream: bool, **settings: Any) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        agent = Agent(chat_model, model_settings=OpenAIResponsesModelSettings(**settings))
        result = await agent.run(prompt, event_stream_handler=read if stream else None)
        return {"text": result.output, "why": result.response.finish_reason}

    return end(lambda: run_with(model, use))


@case
def truncated(model: str) -> Any:
    return ending(model, LONG, stream=False, max_tokens=SHORT)


@case
def truncated_stream(model: str) -> Any:
    return ending(model, LONG, stream=True, max_tokens=SHORT)


@case
def refused(model: str) -> Any:
    return ending(model, REFUSED, stream=False)


@case
def refused_stream(model: str) -> Any:
    return ending(model, REFUSED, stream=True)


def failure_of(model: str, prompt: str) -> Any:
    return caught(lambda: run_with(model, lambda chat_model: Agent(chat_model).run(prompt), BASE_WITHOUT_RETRIES))


@case
def bad_request(model: str) -> Any:
    return failure_of(model, fault('status=400 message="no such luck"', model))


@case
def unknown_key(model: str) -> Any:
    return caught(lambda: run_with(model, lambda chat_model: Agent(chat_model).run(ECHO), key=UNKNOWN_KEY))


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
    prompt = fault("status=503 times=2", model)
    result = run_with(model, lambda chat_model: Agent(chat_model).run(prompt), BASE_WITHOUT_RETRIES)
    return {"text": result.output}


def broken(model: str, words: str) -> Any:
    async def use(chat_model: OpenAIResponsesModel) -> Any:
        async with Agent(chat_model).run_stream(in_stream(words)) as result:
            return await result.get_output()

    return caught(lambda: run_with(model, use))


@case
def broken_stream(model: str) -> Any:
    return broken(model, "error_after_event=6")


@case
def cut_stream(model: str) -> Any:
    return broken(model, "truncate_after_event=6")


main()
