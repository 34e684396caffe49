"""Every recorded request of the Responses API: what would reach Vertex AI is valid by the official SDK's own types and
by the emulator's rules, is the same bytes twice, and grows by appending; or the request is refused by name."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pydantic
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

from modelmux.catalog import builtin
from modelmux.claude.options import Options
from modelmux.claude.prefix import first_difference
from modelmux.dialects.base import Decoded, DialectOptions
from modelmux.dialects.stored_responses import History
from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.validation.validate import validate_request
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import encode_request
from support.recordings import responses_requests
from support.responses_requests import OPTIONS, Json, assistant, decoded, prepared, user

MODELS = ["claude-opus-5-5", "claude-sonnet-5", "claude-opus-4-6", "claude-haiku-4-5", "claude-3-5-haiku"]
SDK = pydantic.TypeAdapter(MessageCreateParamsNonStreaming)
#: What may be refused, by the field the refusal names and the reason.
REFUSED = {
    "background": "Unsupported parameter: 'background'.",
    "conversation": "Unsupported parameter: 'conversation'.",
    "input": "Missing required parameter: 'input'.",
    "model": "Missing required parameter: 'model'.",
    "prompt": "Unsupported parameter: 'prompt'.",
    "temperature": "Invalid value for 'temperature': it must be between 0 and 2.",
}
HOSTED = DialectOptions(OPTIONS.sealer, stores_responses=True, drops_hosted_tools=True, web_search=True)


def decode(recording: dict[str, Any], options: DialectOptions = OPTIONS, **fields: Any) -> Decoded:
    request = recording["request"]
    compact = "compact" in (recording["endpoint"] or "")
    result = decoded({"input": None, **request, **fields}, options, compact=compact)
    if result.unresolved is None:
        return result
    query = result.unresolved.query
    by_id = {id: json.dumps(assistant("stored")).encode() for id in query.item_ids}
    items = (json.dumps(user("before")).encode(),) if query.previous_id else ()
    return result.unresolved.complete(History(items, by_id))


def check_refusal(error: InvalidRequest) -> None:
    """A refusal names its field, and is one that the specification of the dialect lists."""
    assert error.param is not None, error.message
    if error.param in REFUSED:
        assert error.message == REFUSED[error.param]
    elif error.param == "tool_choice":
        assert error.message == "'tool_choice' requires a tool call, but no tool is available."
    elif error.param.startswith("tools."):
        assert error.message.endswith("needs a service that this gateway does not run."), error.message
    else:
        assert error.param.startswith("input."), error.param
        assert error.message.startswith(
            ("Only a compaction", "Vertex AI does not store files", "The file is neither", "The last item is",
             "The image is not", "The file is not valid base64", "The data URL is not valid base64")
        ), error.message  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("recording", responses_requests())
def test_valid_and_the_same_twice(recording: dict[str, Any], model: str) -> None:
    card = builtin().card(model)
    for options in (OPTIONS, HOSTED):
        try:
            first = prepared(decode(recording, options), card)
        except InvalidRequest as error:
            if error.param == "tools" and "web search" in error.message:
                assert not card.web_search
                continue
            check_refusal(error)
            continue
        encoded = encode_request(first.body)
        assert encode_request(prepared(decode(recording, options), card).body) == encoded
        check_accepted(json.loads(encoded), model, first.betas)


def check_accepted(body: Json, model: str, betas: tuple[str, ...]) -> None:
    card = builtin().card(model)
    validate_request(
        EmulatedCall(project="p", location="global", model=model, card=card, body=body, betas=frozenset(betas))
    )
    assert body.pop("anthropic_version") == "vertex-2023-10-16"
    for name in ("temperature", "top_p", "top_k"):  # gone from the SDK's types, accepted by older models
        assert body.pop(name, None) is None or card.sampling == "accept"
    SDK.validate_python({**body, "model": model}, strict=False)


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-haiku-4-5"])
@pytest.mark.parametrize("recording", responses_requests())
def test_each_turn_extends_the_one_before(recording: dict[str, Any], model: str) -> None:
    items = recording["request"].get("input")
    if not isinstance(items, list) or not recording["request"].get("tools"):
        return  # recorded without the tools its history used: the turns before it were other requests
    cuts = [i for i, item in enumerate(items) if i and _asked(items, i) and item.get("type") != "additional_tools"]
    bodies = []
    for cut in [*cuts, len(items)]:
        try:
            result = decode(recording, HOSTED, input=items[:cut])
            bodies.append(prepared(result, builtin().card(model), Options(forced_tool_choice="downgrade")).body)
        except InvalidRequest:
            return  # test_valid_and_the_same_twice judges refusals
    for earlier, later in itertools.pairwise(bodies):
        assert first_difference(earlier, later) is None


def _asked(items: list[Json], index: int) -> bool:
    """Whether a client may have asked before this item: it answers what a user or a tool said."""
    before, item = items[index - 1], items[index]
    answers = item.get("role") == "assistant" or item.get("type") in ("reasoning", "function_call", "custom_tool_call")
    return answers and (before.get("role") == "user" or str(before.get("type")).endswith("_output"))
