"""Nothing vanishes: what a client sends is rejected by name, reaches the upstream, or has a notice.

Requests are judged by two that share no code with the translator: the types of the ``anthropic`` SDK and the rules of
the emulator.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pydantic
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import assume, example, given
from hypothesis import strategies as st

from modelmux.catalog import ModelCard, builtin
from modelmux.claude.identifiers import to_valid_identifier
from modelmux.claude.options import Options
from modelmux.claude.prepare import PreparedRequest
from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.validation.validate import validate_request
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import encode_request
from modelmux.wire.openai.chat_request import ChatRequest, decode_request_with_unknown
from support.conversations import FIELDS, marked_once, requests
from support.translation import translate_request

Json = dict[str, Any]
SDK = pydantic.TypeAdapter(MessageCreateParamsNonStreaming)
#: What is refused under the name of another field: a forced tool call, in whatever way it was asked for.
SAME = {"tool_choice": ("function_call", "response_format")}
CARDS = st.sampled_from([*builtin().cards, builtin().card("claude-of-tomorrow")])
OPTIONS = st.builds(
    Options,
    forced_tool_choice=st.sampled_from(["error", "downgrade", "downgrade"]),
    prefill=st.sampled_from(["error", "continue", "continue"]),
    caching=st.booleans(),
)


def translate(body: Json, card: ModelCard, options: Options) -> PreparedRequest | None:
    """The translation, or None where the request is refused: by the name of a field that it has."""
    try:
        request, unknown = decode_request_with_unknown(json.dumps(body).encode())
        return translate_request(request, card, options, unknown=unknown)
    except InvalidRequest as error:
        assert error.status == 400
        assert error.param is not None
        field = error.param.partition(".")[0]
        assert {field, *SAME.get(field, ())} & set(body)
        return None


def sent(done: PreparedRequest) -> Json:
    body: Json = json.loads(encode_request(done.body))
    return body


def test_the_generator_knows_every_field() -> None:
    assert set(FIELDS) | {"model", "messages", "tools"} == set(ChatRequest.__struct_fields__) | {"guided_json"}


@given(requests(), CARDS, OPTIONS)
def test_what_is_sent_is_accepted(body: Json, card: ModelCard, options: Options) -> None:
    done = translate(body, card, options)
    assume(done is not None)
    assert done is not None
    upstream = sent(done)
    validate_request(
        EmulatedCall(
            project="p", location="global", model=card.id, card=card, body=upstream, betas=frozenset(done.betas)
        )
    )
    assert upstream.pop("anthropic_version") == "vertex-2023-10-16"
    for name in ("temperature", "top_p", "top_k"):  # gone from the SDK's types, accepted by older models
        assert upstream.pop(name, None) is None or card.sampling == "accept"
    SDK.validate_python({**upstream, "model": card.id}, strict=False)


# --- every text reaches the upstream ----------------------------------------------------------------------------------


@given(requests(), CARDS, OPTIONS)
def test_every_text_call_and_file_arrives_in_order(body: Json, card: ModelCard, options: Options) -> None:
    done = translate(body, card, options)
    assume(done is not None)
    assert done is not None
    upstream = sent(done)
    assert_within(texts_of_client(body["messages"]), list(texts_upstream(upstream)))


def texts_of_client(messages: list[Json]) -> dict[str, list[str]]:
    """The texts of a client by role; tool results separately, because they come first in their turn."""
    texts: dict[str, list[str]] = {"user": [], "assistant": [], "result": []}
    for message in messages:
        role = message["role"]
        key = "assistant" if role == "assistant" else "result" if role in ("tool", "function") else "user"
        texts[key] += pieces(message.get("content"))
        if message.get("refusal"):
            texts[key] += pieces(message["refusal"])
        for call in message.get("tool_calls") or ():
            texts[key].append(to_valid_identifier((call.get("function") or call["custom"])["name"]))
            texts[key] += [call["custom"]["input"]] if "custom" in call else []
        if message.get("function_call"):
            texts[key].append(to_valid_identifier(message["function_call"]["name"]))
    return texts


def pieces(content: Any) -> list[str]:
    """The texts of content that are not blank, and the data of its files."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    texts = []
    for part in parts:
        if part["type"] == "text":
            texts += [part["text"]] if part["text"].strip() else []
        elif part["type"] == "image_url":
            texts.append(part["image_url"]["url"].partition(",")[2])
        else:
            texts.append(part["file"]["file_data"].partition(",")[2])
    return texts


def texts_upstream(upstream: Json) -> Iterator[tuple[str, str]]:
    """The same of what is sent: (role, text) in the order of the prompt."""
    for block in upstream.get("system") or ():
        yield "user", block["text"]
    for message in upstream["messages"]:
        role = "assistant" if message["role"] == "assistant" else "user"
        for block in message["content"]:
            yield from ((role, text) for text in texts_of(block))


def texts_of(block: Json) -> Iterator[str]:
    kind = block["type"]
    if kind == "text":
        yield block["text"].removeprefix("<system_message>\n").removesuffix("\n</system_message>")
    elif kind in ("image", "document"):
        yield block["source"]["data"]
    elif kind == "tool_use":
        yield block["name"]
        if set(block["input"]) == {"input"}:
            yield block["input"]["input"]
    elif kind == "tool_result":
        content = block.get("content") or []
        for inner in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            yield from texts_of(inner)


def assert_within(expected: dict[str, list[str]], sent: list[tuple[str, str]]) -> None:
    """The texts of user and assistant arrive in their order, results in any, and each for itself."""
    user = [text for who, text in sent if who == "user"]
    assistant = [text for who, text in sent if who == "assistant"]
    if assistant and expected["assistant"] and assistant[-1] == expected["assistant"][-1].rstrip():
        assistant[-1] = expected["assistant"][-1]  # a prefill: Claude rejects white space at its end
    assert in_order(expected["assistant"], assistant)
    for result in expected["result"]:
        assert result in user
    assert in_order(expected["user"], user)
    assert len(user) >= len(expected["user"]) + len(expected["result"])


def in_order(wanted: list[str], sent: Iterable[str]) -> bool:
    rest = iter(sent)
    return all(text in rest for text in wanted)


# --- every field does something, or a notice names it ----------------------------------------------------------------

#: Values that request what happens anyway.
ASKS_NOTHING: dict[str, list[Any]] = {
    "stream": [True, False],  # the endpoint's business
    "stream_options": [{"include_usage": False}],
    "n": [1],
    "logprobs": [False],
    "top_logprobs": [0],
    "logit_bias": [{}],
    "frequency_penalty": [0],
    "presence_penalty": [0],
    "metadata": [{}],
    "store": [False],
    "service_tier": ["auto"],
    "verbosity": ["medium"],
    "modalities": [["text"]],
    "stop": [[]],
    "functions": [[]],
    "parallel_tool_calls": [True],
    "function_call": ["auto"],
    "tool_choice": ["auto"],
    "response_format": [{"type": "text"}],
    "reasoning_effort": ["default"],
}


BOTH_LIMITS_ABOVE_THE_MAXIMUM = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 10**9,
    "max_completion_tokens": 10**9,
}


@given(requests(), CARDS, OPTIONS)
@example(BOTH_LIMITS_ABOVE_THE_MAXIMUM, builtin().card("claude-sonnet-4-6"), Options())
def test_every_field_has_an_effect_or_a_notice(body: Json, card: ModelCard, options: Options) -> None:
    """Leaving a field out changes the request, the response or the notices. Otherwise it vanished."""
    done = translate(body, card, options)
    assume(done is not None)
    assert done is not None
    for name in [name for name in FIELDS if name in body and body[name] not in ASKS_NOTHING.get(name, [])]:
        less = translate({key: value for key, value in body.items() if key != name}, card, options)
        if name == "prompt_cache_options" and not our_breakpoints(body, less):
            continue
        if less is not None and not asks_for_the_usual(name, body, card):
            assert effect(done) != effect(less), name


def effect(done: PreparedRequest) -> tuple[Any, ...]:
    return encode_request(done.body), done.plan, sorted(done.notices), done.betas


def our_breakpoints(body: Json, done: PreparedRequest | None) -> bool:
    """Whether a request gets automatic breakpoints."""
    return done is not None and "ephemeral" not in json.dumps(body) and b'"cache_control"' in effect(done)[0]


def asks_for_the_usual(name: str, body: Json, card: ModelCard) -> bool:
    """Whether a field requests, in this request, what happens without it too."""
    defined = bool(body.get("tools") or body.get("functions"))
    by_format = body.get("response_format", {}).get("type") == "json_schema"  # may take the choice for itself
    if name == "stream_options":
        return body.get("stream") is not True
    if name in ("tool_choice", "function_call"):
        agree = body.get("tool_choice") == body.get("function_call")  # both ask for the same
        return not defined or by_format or agree
    never = "none" in (body.get("tool_choice"), body.get("function_call"))
    searches = body.get("web_search_options") is not None
    if name == "functions":  # none of them may be called, so none is sent
        return (never and searches) or "allowed_tools" in body.get("tool_choice", ())
    if name == "parallel_tool_calls":
        return not body.get("tools") or never or by_format or searches
    if name in ("reasoning_effort", "reasoning", "thinking"):
        off = body[name] == "none" or body[name] in (
            {"enabled": False},
            {"type": "disabled"},
            {"type": "between_tools"},
        )
        return off and card.thinking_default == "off"
    if name == "output_config":  # the other field may ask for the same effort, or the model has only one that is near
        return any(field in body for field in ("reasoning_effort", "reasoning", "thinking"))
    if name == "cache_control":  # set there already
        return "ephemeral" in json.dumps(body["messages"]) or body["messages"][-1]["role"] == "assistant"
    return False


@given(requests(), CARDS, OPTIONS)
def test_every_name_and_replaced_message_has_a_notice(body: Json, card: ModelCard, options: Options) -> None:
    done = translate(body, card, options)
    assume(done is not None)
    assert done is not None
    named = {notice.field for notice in done.notices}
    for index, message in enumerate(body["messages"]):
        if message["role"] not in ("tool", "function") and message.get("name"):
            assert f"messages.{index}.name" in named
        if message["role"] == "user" and not pieces(message["content"]):
            assert f"messages.{index}.content" in named


@given(marked_once(), CARDS)
def test_no_cache_marker_is_lost(body: Json, card: ModelCard) -> None:
    """On blank text, on a message without content, inside a tool's result: it may move, and there is still one."""
    done = translate(body, card, Options(prefill="continue", caching=False))
    assert done is not None
    has_marker = '"ephemeral"' in json.dumps(body)
    assert json.dumps(sent(done)).count('"cache_control"') == has_marker


@given(requests(), CARDS, OPTIONS)
def test_tools_and_the_keys_of_their_schemas_keep_their_order(body: Json, card: ModelCard, options: Options) -> None:
    """Both come first in the prompt: another order is another prompt, and the cache is lost."""
    done = translate(body, card, options)
    assume(done is not None and done.body.tools)
    assert done is not None
    declared = {
        to_valid_identifier(t["function"]["name"]): t["function"] for t in body.get("tools", ()) if "function" in t
    }
    sent_tools = [tool for tool in sent(done)["tools"] if tool["name"] in declared]
    assert [tool["name"] for tool in sent_tools] == [n for n in declared if n in {tool["name"] for tool in sent_tools}]
    for tool in sent_tools:
        wanted = declared[tool["name"]]["parameters"]
        assert json.dumps(tool["input_schema"]) == json.dumps(wanted)


@given(requests(), CARDS, OPTIONS)
def test_the_arguments_of_every_call_arrive(body: Json, card: ModelCard, options: Options) -> None:
    """An object unchanged, any other value inside one, nothing as an empty one."""
    done = translate(body, card, options)
    assume(done is not None)
    assert done is not None
    blocks = [block for message in sent(done)["messages"] for block in message["content"]]
    inputs = [block["input"] for block in blocks if block["type"] == "tool_use"]
    calls = [call for message in body["messages"] for call in calls_of(message)]
    assert len(inputs) == len(calls)
    for value, call in zip(inputs, calls, strict=True):
        assert value == wanted_input(call)


def calls_of(message: Json) -> list[Json]:
    legacy = message.get("function_call")
    return [*(message.get("tool_calls") or ()), *([{"function": legacy}] if legacy else [])]


def wanted_input(call: Json) -> Any:
    if "custom" in call:
        return {"input": call["custom"]["input"]}
    text = call["function"]["arguments"]
    if not text or not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {"arguments": text}
    if "1e400" in text:  # no number here
        return {"arguments": text}
    return {} if value is None else value if isinstance(value, dict) else {"arguments": value}
