"""LangChain's ChatOpenAI, as its documentation has it."""

from __future__ import annotations

from typing import Any

from common import ABOUT, BROKEN, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, case, caught, main
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def get_weather(city: str) -> str:
    """The current weather of a city"""
    return SKY[city]


def chat_model(model: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, max_retries=0, stream_usage=True, **more)


def used(message: AIMessage) -> dict[str, Any]:
    assert message.usage_metadata is not None
    return {"input": message.usage_metadata["input_tokens"], "output": message.usage_metadata["output_tokens"]}


def streamed(runnable: Any, asked: Any) -> tuple[AIMessageChunk, int]:
    chunks = list(runnable.stream(asked))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole, sum(bool(chunk.text) for chunk in chunks)


def loop(runnable: Any, *, stream: bool) -> dict[str, Any]:
    messages: list[BaseMessage] = [HumanMessage(WEATHER)]
    answer = streamed(runnable, messages)[0] if stream else runnable.invoke(messages)
    cities = [call["args"]["city"] for call in answer.tool_calls]
    messages.append(answer)
    for call in answer.tool_calls:
        result = get_weather.invoke(call)
        assert isinstance(result, ToolMessage)
        messages.append(result)
    final = streamed(runnable, messages)[0] if stream else runnable.invoke(messages)
    return {"cities": cities, "text": final.text}


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
    return loop(chat_model(model).bind_tools([get_weather]), stream=False)


@case
def tools_stream(model: str) -> Any:
    return loop(chat_model(model).bind_tools([get_weather]), stream=True)


@case
def structured(model: str) -> Any:
    report = chat_model(model).with_structured_output(Report).invoke(ABOUT)
    assert isinstance(report, Report)
    return report.model_dump()


@case
def structured_by_tool(model: str) -> Any:
    def run() -> Any:
        report = chat_model(model).with_structured_output(Report, method="function_calling").invoke(ABOUT)
        assert isinstance(report, Report)
        return report

    return caught(run)


@case
def image(model: str) -> Any:
    parts: Any = [{"type": "text", "text": LOOK}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    return {"text": chat_model(model).invoke([HumanMessage(content=parts)]).text}


@case
def reasoning(model: str) -> Any:
    """ChatOpenAI shows no reasoning of Chat Completions; it has to count it and get on with it."""
    answer = chat_model(model, reasoning_effort="high", max_tokens=20_000).invoke(ECHO)
    assert answer.usage_metadata is not None
    counted = answer.usage_metadata["output_token_details"]["reasoning"]
    return {"text": answer.text, "reasoning": None, "reasoning_tokens": counted}


@case
def reasoning_tools(model: str) -> Any:
    thinking = chat_model(model, reasoning_effort="medium", max_tokens=20_000).bind_tools([get_weather])
    return loop(thinking, stream=True)


@case
def unknown_model(model: str) -> Any:
    return caught(lambda: chat_model(model + "-no").invoke(ECHO))


@case
def bad_request(model: str) -> Any:
    return caught(lambda: chat_model(model, temperature=3).invoke(ECHO))


@case
def broken_stream(model: str) -> Any:
    return caught(lambda: streamed(chat_model(model), BROKEN))


main()
