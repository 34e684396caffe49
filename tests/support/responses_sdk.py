"""Response objects and streams as the openai SDK sees them: strictly validated by its types, and accumulated by its own
stream helper.

The SDK itself validates nothing: it builds objects of whatever arrives. Clients in other languages do validate, by the
same definitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast, get_args

import pydantic
from openai import omit
from openai._models import construct_type
from openai._streaming import SSEDecoder
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import CompactedResponse, Response, ResponseOutputItem, ResponseStreamEvent

Json = dict[str, Any]

_RESPONSE: Final[pydantic.TypeAdapter[Response]] = pydantic.TypeAdapter(Response)
_COMPACTED: Final[pydantic.TypeAdapter[CompactedResponse]] = pydantic.TypeAdapter(CompactedResponse)


def _by_type(union: Any) -> dict[str, pydantic.TypeAdapter[Any]]:
    """The members of a union, by the type that each is for: findings are about the one that was meant."""
    members = get_args(get_args(union)[0])
    return {get_args(member.model_fields["type"].annotation)[0]: pydantic.TypeAdapter(member) for member in members}


_EVENTS: Final = _by_type(ResponseStreamEvent)
_ITEMS: Final = _by_type(ResponseOutputItem)

#: What is sent although the SDK's types lack it, by the name of the type: other definitions demand it (Open Responses
#: the first three, the AI SDK the last), and OpenAI sends it too.
BEYOND: Final = {
    "Response": {"store", "presence_penalty", "frequency_penalty"},
    "ResponseCustomToolCall": {"status"},
}
#: Fields that repeat what the client sent, unknown members included.
ECHOES: Final = ("tools", "tool_choice", "text", "reasoning", "metadata", "instructions")


class Invalid(AssertionError):
    """Something does not fit the SDK's types; the text has one line for each finding."""


def check_response(body: Json) -> Response:
    """:raises Invalid: a response object does not fit, or has members that the SDK does not know."""
    return cast("Response", _check(_RESPONSE, body))


def check_compacted(body: Json) -> CompactedResponse:
    """The same for the result of ``POST /v1/responses/compact``."""
    return cast("CompactedResponse", _check(_COMPACTED, body))


def check_item(item: Json) -> None:
    """The same for an item of ``output``."""
    _check(_named(_ITEMS, item), item)


def check_event(event: Json) -> None:
    """The same for an event of a stream."""
    _check(_named(_EVENTS, event), event)


def read_events(raw: bytes) -> Iterator[Json]:
    """The events of a stream, as the SDK reads its bytes."""
    for sse in SSEDecoder().iter_bytes(iter([raw])):
        if sse.data.startswith("[DONE]"):
            return
        data = sse.json()
        if sse.event != "error" and data.get("error"):
            raise Invalid(f"the SDK raises an error on {sse.data[:200]}")
        yield data


def check_stream(raw: bytes) -> None:
    """:raises Invalid: an event of a stream does not fit."""
    for event in read_events(raw):
        check_event(event)


def accumulate(raw: bytes) -> Response | None:
    """The completed response as the SDK's ``responses.stream`` makes it; None where the end is another one. The texts
    that it gathers from deltas have to be those of the result.

    :raises RuntimeError: the SDK's, if a stream confuses it.
    :raises Invalid: gathered and final texts differ.
    """
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    gathered: dict[tuple[int, int], str] = {}
    for data in read_events(raw):
        for event in state.handle_event(cast("Any", construct_type(type_=ResponseStreamEvent, value=data))):
            if event.type == "response.output_text.delta":
                gathered[event.output_index, event.content_index] = event.snapshot
            elif event.type == "response.function_call_arguments.delta":
                gathered[event.output_index, 0] = event.snapshot
    response = state._completed_response
    if response is not None:
        for (output, content), text in gathered.items():
            item = response.output[output]
            final = item.content[content].text if item.type == "message" else item.arguments  # type: ignore[union-attr]
            if final != text:
                raise Invalid(f"the SDK gathers {text!r} for item {output}, whose text is {final!r}")
    return response


def _named(adapters: dict[str, pydantic.TypeAdapter[Any]], value: Json) -> pydantic.TypeAdapter[Any]:
    if value.get("type") not in adapters:
        raise Invalid(f"the SDK does not know the type {value.get('type')!r}")
    return adapters[value["type"]]


def _check(adapter: pydantic.TypeAdapter[Any], value: Any) -> Any:
    try:
        checked = adapter.validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        raise Invalid("\n".join(_lines(error, value))) from None
    unknown = list(_unknown(checked, ""))
    if unknown:
        raise Invalid("the SDK does not know " + ", ".join(unknown))
    return checked


def _lines(error: pydantic.ValidationError, value: Any) -> Iterator[str]:
    details = error.errors(include_url=False, include_input=False)
    yield f"{len(details)} findings in {value.get('type') or value.get('object')}"
    for each in details[:20]:
        yield f"{'.'.join(map(str, each['loc']))}: {each['msg']}"


def _unknown(value: Any, path: str) -> Iterator[str]:
    """Paths of members that are not declared."""
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unknown(inner, f"{path}[{number}]")
    elif isinstance(value, pydantic.BaseModel):
        extra = value.__pydantic_extra__ or {}
        for name in extra.keys() - BEYOND.get(type(value).__name__, set()):
            yield f"{path}.{name}".lstrip(".")
        for name in type(value).model_fields:
            if not (isinstance(value, Response) and name in ECHOES):
                yield from _unknown(getattr(value, name), f"{path}.{name}")
