"""The OpenAI Agents SDK as it comes, over the Responses API: its history kept by the program, or stored; handoffs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import openai
from agents import Agent, ModelSettings, Runner, function_tool, set_default_openai_client, set_tracing_disabled
from agents.items import ReasoningItem, ToolCallItem
from agents.result import RunResultBase
from common import ABOUT, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, case, caught, main
from messages_common import FOLLOW_UP, KEY, MAX_TOKENS, fault, in_stream
from openai.types.shared import Reasoning
from responses_common import (
    BASE,
    BASE_WITHOUT_RETRIES,
    EFFORT,
    HANDED,
    LONG,
    REFUSED,
    SEALED,
    SHORT,
    UNKNOWN_KEY,
    end,
    one_by_one,
)

set_tracing_disabled(True)
THINK = ModelSettings(reasoning=Reasoning(effort=EFFORT, summary="auto"), max_tokens=MAX_TOKENS)


def run_with(use: Callable[[], Awaitable[Any]], base: str = BASE, key: str = KEY) -> Any:
    """A client of its own for each case, closed in the loop it was opened in; all agents use it."""

    async def run() -> Any:
        async with openai.AsyncOpenAI(base_url=base, api_key=key) as client:
            set_default_openai_client(client, use_for_tracing=False)
            return await use()

    return asyncio.run(run())


@function_tool
def get_weather(city: str) -> str:
    """The current weather of a city"""
    return SKY[city]


def agent(model: str, **more: Any) -> Agent[Any]:
    return Agent(name="Assistant", model=model, **more)


async def streamed(runner: Agent[Any], asked: Any, **more: Any) -> tuple[RunResultBase, list[str]]:
    result = Runner.run_streamed(runner, asked, **more)
    pieces = []
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            pieces.append(event.data.delta)
    return result, pieces


def used(result: RunResultBase) -> dict[str, int]:
    usage = result.context_wrapper.usage
    return {"input": usage.input_tokens, "output": usage.output_tokens}


def told(*results: RunResultBase) -> dict[str, Any]:
    items = [item for result in results for item in result.new_items]
    calls = [item.raw_item for item in items if isinstance(item, ToolCallItem)]
    return {
        "cities": [Place.model_validate_json(call.arguments).city for call in calls],  # type: ignore[union-attr]
        "text": results[0].final_output,
        "thoughts": sum(isinstance(item, ReasoningItem) for item in items),
        "last": results[-1].final_output,
    }


class Place(openai.BaseModel):
    city: str


def converse(model: str, mark: str, *, stored: bool = False, **more: Any) -> Any:
    async def use() -> Any:
        runner = agent(model, tools=[get_weather], model_settings=THINK.resolve(ModelSettings(**more)))
        chained: dict[str, Any] = {"auto_previous_response_id": True} if stored else {}
        first, _ = await streamed(runner, one_by_one(mark), **chained)
        follow_up = {"role": "user", "content": FOLLOW_UP}
        if stored:
            last, _ = await streamed(runner, [follow_up], previous_response_id=first.last_response_id)
        else:
            last, _ = await streamed(runner, [*first.to_input_list(), follow_up])
        return told(first, last)

    return run_with(use)


@case
def chat(model: str) -> Any:
    async def use() -> Any:
        result = await Runner.run(agent(model), ECHO)
        return {"text": result.final_output, "usage": used(result)}

    return run_with(use)


@case
def stream(model: str) -> Any:
    async def use() -> Any:
        result, pieces = await streamed(agent(model), ECHO)
        assert result.final_output == "".join(pieces)
        return {"text": "".join(pieces), "pieces": len(pieces), "usage": used(result)}

    return run_with(use)


@case
def tools(model: str) -> Any:
    async def use() -> Any:
        return told(await Runner.run(agent(model, tools=[get_weather]), WEATHER))

    return run_with(use)


@case
def tools_stream(model: str) -> Any:
    async def use() -> Any:
        return told((await streamed(agent(model, tools=[get_weather]), WEATHER))[0])

    return run_with(use)


@case
def thinking(model: str) -> Any:
    return converse(model, "thinking")


@case
def thinking_sealed(model: str) -> Any:
    return converse(model, "thinking_sealed", store=False, response_include=[SEALED])


@case
def thinking_stored(model: str) -> Any:
    return converse(model, "thinking_stored", stored=True)


@case
def handoff(model: str) -> Any:
    async def use() -> Any:
        forecaster = Agent(name="Forecaster", model=model, tools=[get_weather], model_settings=THINK)
        triage = Agent(name="Triage", model=model, handoffs=[forecaster], model_settings=THINK)
        result = await Runner.run(triage, HANDED)
        kinds = [item.type for item in result.new_items if item.type.startswith("handoff")]
        history: list[Any] = [*result.to_input_list(), {"role": "user", "content": WEATHER}]
        last = await Runner.run(result.last_agent, history)
        return {"agent": last.last_agent.name, "kinds": kinds, "text": last.final_output}

    return run_with(use)


@case
def structured(model: str) -> Any:
    async def use() -> Any:
        return (await Runner.run(agent(model, output_type=Report), ABOUT)).final_output_as(Report, True).model_dump()

    return run_with(use)


@case
def structured_stream(model: str) -> Any:
    async def use() -> Any:
        result, _ = await streamed(agent(model, output_type=Report), ABOUT)
        return result.final_output_as(Report, True).model_dump()

    return run_with(use)


@case
def image(model: str) -> Any:
    parts = [{"type": "input_text", "text": LOOK}, {"type": "input_image", "image_url": PICTURE, "detail": "auto"}]

    async def use() -> Any:
        return {"text": (await Runner.run(agent(model), [{"role": "user", "content": parts}])).final_output}  # type: ignore[list-item,misc]

    return run_with(use)


def ending(model: str, prompt: str, *, stream: bool, **settings: Any) -> Any:
    async def use() -> Any:
        runner = agent(model, model_settings=ModelSettings(**settings))
        result = (await streamed(runner, prompt))[0] if stream else await Runner.run(runner, prompt)
        return {"text": result.final_output}

    return end(lambda: run_with(use))


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
    return caught(lambda: run_with(lambda: Runner.run(agent(model), prompt), BASE_WITHOUT_RETRIES))


@case
def bad_request(model: str) -> Any:
    return failure_of(model, fault('status=400 message="no such luck"', model))


@case
def unknown_key(model: str) -> Any:
    return caught(lambda: run_with(lambda: Runner.run(agent(model), ECHO), key=UNKNOWN_KEY))


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
    result = run_with(lambda: Runner.run(agent(model), prompt), BASE_WITHOUT_RETRIES)
    return {"text": result.final_output}


@case
def broken_stream(model: str) -> Any:
    return caught(lambda: run_with(lambda: streamed(agent(model), in_stream("error_after_event=6"))))


@case
def cut_stream(model: str) -> Any:
    return caught(lambda: run_with(lambda: streamed(agent(model), in_stream("truncate_after_event=6"))))


main()
