"""LangChain's ChatOpenAI with ``use_responses_api``."""

from __future__ import annotations

from typing import Any

from common import ABOUT, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, case, caught, main
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
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

THINK: dict[str, Any] = {"reasoning": {"effort": EFFORT, "summary": "auto"}, "max_tokens": MAX_TOKENS}


@tool
def get_weather(city: str) -> str:
    """The current weather of a city"""
    return SKY[city]


def chat_model(model: str, base: str = BASE, key: str = KEY, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=base, api_key=key, use_responses_api=True, **more)


def used(message: AIMessage) -> dict[str, Any]:
    assert message.usage_metadata is not None
    return {"input": message.usage_metadata["input_tokens"], "output": message.usage_metadata["output_tokens"]}


def streamed(runnable: Any, asked: Any) -> tuple[AIMessageChunk, int]:
    chunks = list(runnable.stream(asked))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole, sum(bool(chunk.text) for chunk in chunks)


def loop(runnable: Any, asked: list[str], *, stream: bool) -> dict[str, Any]:
    messages: list[BaseMessage] = []
    cities, thoughts, texts = [], 0, []
    for question in asked:
        messages.append(HumanMessage(question))
        while True:
            answer = streamed(runnable, messages)[0] if stream else runnable.invoke(messages)
            messages.append(answer)
            cities += [call["args"]["city"] for call in answer.tool_calls]
            thoughts += sum(block["type"] == "reasoning" for block in answer.content if isinstance(block, dict))
            messages += [get_weather.invoke(call) for call in answer.tool_calls]
            if not answer.tool_calls:
                break
        texts.append(answer.text)
    return {"cities": cities, "text": texts[0], "thoughts": thoughts, "last": texts[-1]}


@case
def chat(model: str) -> Any:
    answer = chat_model(model).invoke(ECHO)
    return {"text": answer.text, "usage": used(answer)}


@case
def stream(model: str) -> Any:
    whole, pieces = streamed(chat_model(model), ECHO)
    return {"text": whole.text, "pieces": pieces, "usage": used(whole)}


@case
def tools(model: str) -> Any:
    return loop(chat_model(model).bind_tools([get_weather]), [WEATHER], stream=False)


@case
def tools_stream(model: str) -> Any:
    return loop(chat_model(model).bind_tools([get_weather]), [WEATHER], stream=True)


def converse(model: str, mark: str, **more: Any) -> Any:
    thoughtful = chat_model(model, **THINK, **more).bind_tools([get_weather])
    return loop(thoughtful, [one_by_one(mark), FOLLOW_UP], stream=True)


@case
def thinking(model: str) -> Any:
    return converse(model, "thinking")


@case
def thinking_sealed(model: str) -> Any:
    return converse(model, "thinking_sealed", store=False, include=[SEALED])


@case
def thinking_stored(model: str) -> Any:
    return converse(model, "thinking_stored", use_previous_response_id=True)


@case
def structured(model: str) -> Any:
    report = chat_model(model).with_structured_output(Report).invoke(ABOUT)
    assert isinstance(report, Report)
    return report.model_dump()


@case
def structured_stream(model: str) -> Any:
    *_, report = chat_model(model).with_structured_output(Report).stream(ABOUT)
    assert isinstance(report, Report)
    return report.model_dump()


@case
def image(model: str) -> Any:
    parts: Any = [{"type": "text", "text": LOOK}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    return {"text": chat_model(model).invoke([HumanMessage(content=parts)]).text}


def ending(message: AIMessage) -> dict[str, Any]:
    why = message.response_metadata.get("incomplete_details")
    blocks = [block for block in message.content if isinstance(block, dict)]
    refusals = [block["refusal"] for block in blocks if block.get("type") == "refusal"]
    return {
        "text": message.text,
        "why": [message.response_metadata["status"], why and why["reason"]],
        "refusals": refusals,
    }


@case
def truncated(model: str) -> Any:
    return end(lambda: ending(chat_model(model, max_tokens=SHORT).invoke(LONG)))


@case
def truncated_stream(model: str) -> Any:
    return end(lambda: ending(streamed(chat_model(model, max_tokens=SHORT), LONG)[0]))


@case
def refused(model: str) -> Any:
    return end(lambda: ending(chat_model(model).invoke(REFUSED)))


@case
def refused_stream(model: str) -> Any:
    return end(lambda: ending(streamed(chat_model(model), REFUSED)[0]))


def failure_of(model: str, prompt: str) -> Any:
    return caught(lambda: chat_model(model, BASE_WITHOUT_RETRIES).invoke(prompt))


@case
def bad_request(model: str) -> Any:
    return failure_of(model, fault('status=400 message="no such luck"', model))


@case
def unknown_key(model: str) -> Any:
    return caught(lambda: chat_model(model, key=UNKNOWN_KEY).invoke(ECHO))


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
    return {"text": chat_model(model, BASE_WITHOUT_RETRIES).invoke(fault("status=503 times=2", model)).text}


@case
def broken_stream(model: str) -> Any:
    return caught(lambda: streamed(chat_model(model), in_stream("error_after_event=6")))


@case
def cut_stream(model: str) -> Any:
    return caught(lambda: streamed(chat_model(model), in_stream("truncate_after_event=6")))


main()
