"""The LiteLLM SDK, pointed at the gateway as at any OpenAI-compatible server."""

from __future__ import annotations

import json
from typing import Any

import litellm
from common import (
    ABOUT,
    API_KEY,
    BASE_URL,
    BROKEN,
    ECHO,
    LOOK,
    PICTURE,
    SKY,
    WEATHER,
    WEATHER_TOOL,
    Report,
    case,
    caught,
    main,
)


def complete(model: str, content: Any = None, **more: Any) -> Any:
    asked = {"messages": [{"role": "user", "content": content}]} | more
    return litellm.completion(
        model=f"openai/{model}", api_base=BASE_URL, api_key=API_KEY, num_retries=0, max_retries=0, **asked
    )


def used(answer: Any) -> dict[str, int]:
    return {"input": answer.usage.prompt_tokens, "output": answer.usage.completion_tokens}


def streamed(model: str, content: Any = None, **more: Any) -> tuple[Any, list[Any]]:
    """The message that LiteLLM builds of the chunks, and the chunks."""
    chunks = list(complete(model, content, stream=True, stream_options={"include_usage": True}, **more))
    return litellm.stream_chunk_builder(chunks), chunks


def loop(model: str, *, stream: bool, **more: Any) -> dict[str, Any]:
    messages: list[Any] = [{"role": "user", "content": WEATHER}]

    def ask() -> Any:
        given = {"messages": messages, "tools": [WEATHER_TOOL]} | more
        answer = streamed(model, **given)[0] if stream else complete(model, **given)
        return answer.choices[0].message

    message = ask()
    messages.append(message)
    cities = []
    for call in message.tool_calls:
        cities.append(json.loads(call.function.arguments)["city"])
        messages.append({"role": "tool", "tool_call_id": call.id, "content": SKY[cities[-1]]})
    return {"cities": cities, "text": ask().content}


@case
def chat(model: str) -> Any:
    answer = complete(model, ECHO)
    return {"text": answer.choices[0].message.content, "usage": used(answer)}


@case
def stream(model: str) -> Any:
    whole, chunks = streamed(model, ECHO)
    pieces = sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks)
    return {"text": whole.choices[0].message.content, "pieces": pieces, "usage": used(whole)}


@case
def tools(model: str) -> Any:
    return loop(model, stream=False)


@case
def tools_stream(model: str) -> Any:
    return loop(model, stream=True)


@case
def structured(model: str) -> Any:
    answer = complete(model, ABOUT, response_format=Report)
    return Report.model_validate_json(answer.choices[0].message.content).model_dump()


@case
def image(model: str) -> Any:
    parts = [{"type": "text", "text": LOOK}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    return {"text": complete(model, parts).choices[0].message.content}


@case
def reasoning(model: str) -> Any:
    answer = complete(
        model, ECHO, reasoning_effort="high", max_tokens=20_000, allowed_openai_params=["reasoning_effort"]
    )
    message = answer.choices[0].message
    counted = answer.usage.completion_tokens_details.reasoning_tokens
    return {"text": message.content, "reasoning": message.reasoning_content, "reasoning_tokens": counted}


@case
def reasoning_stream(model: str) -> Any:
    whole, _ = streamed(
        model, ECHO, reasoning_effort="high", max_tokens=20_000, allowed_openai_params=["reasoning_effort"]
    )
    message = whole.choices[0].message
    counted = whole.usage.completion_tokens_details.reasoning_tokens
    return {"text": message.content, "reasoning": message.reasoning_content, "reasoning_tokens": counted}


@case
def reasoning_tools(model: str) -> Any:
    return loop(
        model, stream=True, reasoning_effort="medium", max_tokens=20_000, allowed_openai_params=["reasoning_effort"]
    )


@case
def unknown_model(model: str) -> Any:
    return caught(lambda: complete(model + "-no", ECHO))


@case
def bad_request(model: str) -> Any:
    return caught(lambda: complete(model, ECHO, temperature=3))


@case
def broken_stream(model: str) -> Any:
    return caught(lambda: streamed(model, BROKEN))


main()
