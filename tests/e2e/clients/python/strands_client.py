"""Strands Agents over its OpenAIResponsesModel.

It never sends reasoning back: with ``stateful``, the responses are stored and it names the last one.
"""

from __future__ import annotations

import base64
from typing import Any, Literal

from common import ABOUT, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, Spot, case, caught, main
from messages_common import FOLLOW_UP, KEY, MAX_TOKENS, fault, in_stream
from pydantic import BaseModel
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
from strands import Agent, tool
from strands.agent import AgentResult
from strands.models.openai_responses import OpenAIResponsesModel

THINK: dict[str, Any] = {"reasoning": {"effort": EFFORT, "summary": "auto"}, "max_output_tokens": MAX_TOKENS}


class Brief(BaseModel):
    """A report about a city."""

    city: str
    unit: Literal["celsius", "fahrenheit"]
    spots: list[Spot]


@tool
def get_weather(city: str) -> str:
    """The current weather of a city"""
    return SKY[city]


def agent(
    model: str, base: str = BASE, key: str = KEY, *, stateful: bool = False, tools: Any = (), **params: Any
) -> Agent:
    chat_model = OpenAIResponsesModel(
        client_args={"base_url": base, "api_key": key}, model_id=model, params=params, stateful=stateful
    )
    return Agent(model=chat_model, tools=list(tools), callback_handler=None, retry_strategy=None)


def text_of(result: AgentResult) -> str:
    return "".join(block.get("text", "") for block in result.message["content"])


def used(result: AgentResult) -> dict[str, int]:
    usage = result.metrics.accumulated_usage
    return {"input": usage["inputTokens"], "output": usage["outputTokens"]}


def watched(runner: Agent) -> dict[str, list[Any]]:
    """What the agent's events tell while it runs: text, cities and thoughts."""
    seen: dict[str, list[Any]] = {"text": [], "cities": [], "thoughts": []}

    def look(**event: Any) -> None:
        if event.get("data"):
            seen["text"].append(event["data"])
        for block in event.get("message", {}).get("content", []):
            if "toolUse" in block:
                seen["cities"].append(block["toolUse"]["input"]["city"])
            if "reasoningContent" in block:
                seen["thoughts"].append(block["reasoningContent"]["reasoningText"]["text"])

    runner.callback_handler = look
    return seen


@case
def chat(model: str) -> Any:
    result = agent(model)(ECHO)
    return {"text": text_of(result), "usage": used(result)}


@case
def stream(model: str) -> Any:
    runner = agent(model)
    seen = watched(runner)
    result = runner(ECHO)
    return {"text": "".join(seen["text"]), "pieces": len(seen["text"]), "usage": used(result)}


@case
def tools_stream(model: str) -> Any:
    runner = agent(model, tools=[get_weather])
    seen = watched(runner)
    return {"text": text_of(runner(WEATHER)), "cities": seen["cities"]}


def converse(model: str, mark: str, *, stateful: bool) -> Any:
    runner = agent(model, stateful=stateful, tools=[get_weather], **THINK)
    seen = watched(runner)
    text, last = text_of(runner(one_by_one(mark))), text_of(runner(FOLLOW_UP))
    return {"cities": seen["cities"], "text": text, "thoughts": len(seen["thoughts"]), "last": last}


@case
def thinking(model: str) -> Any:
    return converse(model, "thinking", stateful=False)


@case
def thinking_stored(model: str) -> Any:
    return converse(model, "thinking_stored", stateful=True)


@case
def structured(model: str) -> Any:
    """The model's own way, by ``text.format``."""
    report = agent(model).structured_output(Report, ABOUT)
    assert isinstance(report, Report)
    return report.model_dump()


@case
def structured_tool(model: str) -> Any:
    """The agent's way: a tool, whose schema does not demand what may be None."""
    report = agent(model)("Brief about Oslo", structured_output_model=Brief).structured_output
    assert isinstance(report, Brief)
    return report.model_dump()


@case
def image(model: str) -> Any:
    picture: Any = {"format": "png", "source": {"bytes": base64.b64decode(PICTURE.partition(",")[2])}}
    return {"text": text_of(agent(model)([{"text": LOOK}, {"image": picture}]))}


def ending(model: str, prompt: str, **params: Any) -> Any:
    def run() -> dict[str, Any]:
        result = agent(model, **params)(prompt)
        return {"text": text_of(result), "why": result.stop_reason}

    return end(run)


@case
def truncated_stream(model: str) -> Any:
    return ending(model, LONG, max_output_tokens=SHORT)


@case
def refused_stream(model: str) -> Any:
    return ending(model, REFUSED)


def failure_of(model: str, prompt: str) -> Any:
    return caught(lambda: agent(model, BASE_WITHOUT_RETRIES)(prompt))


@case
def bad_request(model: str) -> Any:
    return failure_of(model, fault('status=400 message="no such luck"', model))


@case
def unknown_key(model: str) -> Any:
    return caught(lambda: agent(model, key=UNKNOWN_KEY)(ECHO))


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
    return {"text": text_of(agent(model, BASE_WITHOUT_RETRIES)(fault("status=503 times=2", model)))}


@case
def broken_stream(model: str) -> Any:
    return caught(lambda: agent(model)(in_stream("error_after_event=6")))


@case
def cut_stream(model: str) -> Any:
    return caught(lambda: agent(model)(in_stream("truncate_after_event=6")))


main()
