"""agno's agents over its OpenAIResponses model."""

from __future__ import annotations

import base64
from typing import Any

from agno.agent import Agent
from agno.media import Image
from agno.models.message import Message
from agno.models.openai import OpenAIResponses
from agno.run.agent import RunContentEvent, RunOutput, RunStatus
from common import ABOUT, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, case, caught, main
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

THINK: dict[str, Any] = {"reasoning_effort": EFFORT, "reasoning_summary": "auto", "max_output_tokens": MAX_TOKENS}


class RunFailed(Exception):
    """A run whose status is an error: agno raises nothing."""

    def __init__(self, output: RunOutput) -> None:
        super().__init__(output.content)


def get_weather(city: str) -> str:
    """The current weather of a city"""
    return SKY[city]


def chat_model(model: str, base: str = BASE, key: str = KEY, **more: Any) -> OpenAIResponses:
    return OpenAIResponses(id=model, base_url=base, api_key=key, **more)


def agent(model: OpenAIResponses, **more: Any) -> Agent:
    return Agent(model=model, telemetry=False, **more)


def run(runner: Agent, asked: Any, **more: Any) -> RunOutput:
    output = runner.run(asked, **more)
    if output.status == RunStatus.error:
        raise RunFailed(output)
    return output


def streamed(runner: Agent, asked: Any, **more: Any) -> tuple[RunOutput, list[str]]:
    pieces, output = [], None
    for event in runner.run(asked, stream=True, stream_events=True, yield_run_output=True, **more):
        if isinstance(event, RunContentEvent) and event.content:
            pieces.append(event.content)
        elif isinstance(event, RunOutput):
            output = event
    assert output is not None
    if output.status == RunStatus.error:
        raise RunFailed(output)
    return output, pieces


def cities_of(*outputs: RunOutput) -> list[str]:
    return [call.tool_args["city"] for output in outputs for call in output.tools or [] if call.tool_args]


def used(output: RunOutput) -> dict[str, int]:
    assert output.metrics is not None
    return {"input": output.metrics.input_tokens, "output": output.metrics.output_tokens}


@case
def chat(model: str) -> Any:
    output = run(agent(chat_model(model)), ECHO)
    return {"text": output.content, "usage": used(output)}


@case
def stream(model: str) -> Any:
    output, pieces = streamed(agent(chat_model(model)), ECHO)
    return {"text": "".join(pieces), "pieces": len(pieces), "usage": used(output)}


@case
def tools(model: str) -> Any:
    output = run(agent(chat_model(model), tools=[get_weather]), WEATHER)
    return {"cities": cities_of(output), "text": output.content}


@case
def tools_stream(model: str) -> Any:
    output, _ = streamed(agent(chat_model(model), tools=[get_weather]), WEATHER)
    return {"cities": cities_of(output), "text": output.content}


def converse(model: str, mark: str, **more: Any) -> Any:
    """Two runs, the messages of the first before the second."""
    runner = agent(chat_model(model, **THINK, **more), tools=[get_weather])
    first, _ = streamed(runner, one_by_one(mark))
    history = [message for message in first.messages or [] if message.role != "system"]
    last, _ = streamed(runner, [*history, Message(role="user", content=FOLLOW_UP)])
    replies = [message for message in [*history, *(last.messages or [])[-1:]] if message.role == "assistant"]
    return {
        "cities": cities_of(first),
        "text": first.content,
        "thoughts": sum(bool(message.reasoning_content) for message in replies),
        "last": last.content,
    }


@case
def thinking(model: str) -> Any:
    return converse(model, "thinking")


@case
def thinking_sealed(model: str) -> Any:
    sealed: dict[str, Any] = {"store": False, "include": [SEALED], "use_previous_response_id": False}
    return converse(model, "thinking_sealed", **sealed)


@case
def structured(model: str) -> Any:
    report = run(agent(chat_model(model), output_schema=Report), ABOUT).content
    assert isinstance(report, Report)
    return report.model_dump()


@case
def structured_stream(model: str) -> Any:
    report = streamed(agent(chat_model(model), output_schema=Report), ABOUT)[0].content
    assert isinstance(report, Report)
    return report.model_dump()


@case
def image(model: str) -> Any:
    picture = Image(content=base64.b64decode(PICTURE.partition(",")[2]), mime_type="image/png")
    return {"text": run(agent(chat_model(model)), LOOK, images=[picture]).content}


def ending(output: RunOutput) -> dict[str, Any]:
    return {"text": output.content, "why": output.status.value}


@case
def truncated(model: str) -> Any:
    return end(lambda: ending(run(agent(chat_model(model, max_output_tokens=SHORT)), LONG)))


@case
def truncated_stream(model: str) -> Any:
    return end(lambda: ending(streamed(agent(chat_model(model, max_output_tokens=SHORT)), LONG)[0]))


@case
def refused(model: str) -> Any:
    return end(lambda: ending(run(agent(chat_model(model)), REFUSED)))


@case
def refused_stream(model: str) -> Any:
    return end(lambda: ending(streamed(agent(chat_model(model)), REFUSED)[0]))


def failure_of(model: OpenAIResponses, prompt: str) -> Any:
    """The agent logs an error and returns it as the content of its output; the model raises it."""
    said = run_output(model, prompt)
    raised = caught(lambda: model.response(messages=[Message(role="user", content=prompt)]))
    assert raised["kind"] is not None
    return raised | {"said": said}


def run_output(model: OpenAIResponses, prompt: str) -> Any:
    output = agent(model).run(prompt)
    assert output.status == RunStatus.error
    return output.content


@case
def bad_request(model: str) -> Any:
    return failure_of(chat_model(model, BASE_WITHOUT_RETRIES), fault('status=400 message="no such luck"', model))


@case
def unknown_key(model: str) -> Any:
    return failure_of(chat_model(model, key=UNKNOWN_KEY), ECHO)


@case
def unknown_model(model: str) -> Any:
    return failure_of(chat_model(model + "-no"), ECHO)


@case
def rate_limit(model: str) -> Any:
    return caught(lambda: run(agent(chat_model(model, BASE_WITHOUT_RETRIES)), fault("status=429", model)))


@case
def unavailable(model: str) -> Any:
    return caught(
        lambda: run(agent(chat_model(model, BASE_WITHOUT_RETRIES)), fault('status=503 message="out of service"', model))
    )


@case
def unavailable_twice(model: str) -> Any:
    prompt = fault("status=503 times=2", model)
    return {"text": run(agent(chat_model(model, BASE_WITHOUT_RETRIES)), prompt).content}


@case
def broken_stream(model: str) -> Any:
    return caught(lambda: streamed(agent(chat_model(model)), in_stream("error_after_event=6")))


@case
def cut_stream(model: str) -> Any:
    return caught(lambda: streamed(agent(chat_model(model)), in_stream("truncate_after_event=6")))


main()
