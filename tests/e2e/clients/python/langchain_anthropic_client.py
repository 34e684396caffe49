"""LangChain's ChatAnthropic, as its documentation has it."""

from __future__ import annotations

from typing import Any

from common import ABOUT, ECHO, LOOK, PICTURE, SKY, WEATHER, Report, case, caught, main
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from messages_common import FOLLOW_UP, KEY, MAX_TOKENS, URL, URL_WITHOUT_RETRIES, fault, in_stream, thinking_of


@tool
def get_weather(city: str) -> str:
    """The current weather of a city"""
    return SKY[city]


def chat_model(model: str, *, url: str = URL, **more: Any) -> ChatAnthropic:
    return ChatAnthropic(model=model, base_url=url, api_key=KEY, **{"max_tokens": 4000, **more})


def plain(model: str) -> ChatAnthropic:
    return chat_model(model, url=URL_WITHOUT_RETRIES)


def used(message: AIMessage) -> dict[str, Any]:
    assert message.usage_metadata is not None
    return {"input": message.usage_metadata["input_tokens"], "output": message.usage_metadata["output_tokens"]}


def streamed(runnable: Any, asked: Any) -> tuple[AIMessageChunk, int]:
    chunks = list(runnable.stream(asked))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole, sum(bool(chunk.text) for chunk in chunks)


def loop(runnable: Any, *, stream: bool) -> tuple[dict[str, Any], list[BaseMessage]]:
    messages: list[BaseMessage] = [HumanMessage(WEATHER)]
    answer = streamed(runnable, messages)[0] if stream else runnable.invoke(messages)
    cities = [call["args"]["city"] for call in answer.tool_calls]
    messages.append(answer)
    for call in answer.tool_calls:
        result = get_weather.invoke(call)
        assert isinstance(result, ToolMessage)
        messages.append(result)
    final = streamed(runnable, messages)[0] if stream else runnable.invoke(messages)
    return {"cities": cities, "text": final.text}, [*messages, final]


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
    return loop(chat_model(model).bind_tools([get_weather]), stream=False)[0]


@case
def tools_stream(model: str) -> Any:
    return loop(chat_model(model).bind_tools([get_weather]), stream=True)[0]


@case
def thinking(model: str) -> Any:
    thoughtful = chat_model(model, max_tokens=MAX_TOKENS, thinking=thinking_of(model)).bind_tools([get_weather])
    result, messages = loop(thoughtful, stream=True)
    blocks = [block for m in messages if isinstance(m, AIMessage) for block in m.content if isinstance(block, dict)]
    signatures = [block["signature"] for block in blocks if block["type"] == "thinking"]
    last, _ = streamed(thoughtful, [*messages, HumanMessage(FOLLOW_UP)])
    return result | {"signatures": signatures, "last": last.text}


@case
def structured(model: str) -> Any:
    report = chat_model(model).with_structured_output(Report, method="json_schema").invoke(ABOUT)
    assert isinstance(report, Report)
    return report.model_dump()


@case
def image(model: str) -> Any:
    parts: Any = [{"type": "text", "text": LOOK}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    return {"text": chat_model(model).invoke([HumanMessage(content=parts)]).text}


@case
def count_tokens(model: str) -> Any:
    return {"count": chat_model(model).get_num_tokens_from_messages([HumanMessage(ECHO)])}


@case
def bad_request(model: str) -> Any:
    return caught(lambda: plain(model).invoke(fault('status=400 message="no such luck"', model)))


@case
def unknown_model(model: str) -> Any:
    return caught(lambda: plain(model + "-no").invoke(ECHO))


@case
def rate_limit(model: str) -> Any:
    return caught(lambda: plain(model).invoke(fault("status=429", model)))


@case
def overloaded(model: str) -> Any:
    return caught(lambda: plain(model).invoke(fault("status=529", model)))


@case
def broken_stream(model: str) -> Any:
    return caught(lambda: streamed(chat_model(model), in_stream("error_after_event=6")))


@case
def cut_stream(model: str) -> Any:
    return caught(lambda: streamed(chat_model(model), in_stream("truncate_after_event=6")))


main()
