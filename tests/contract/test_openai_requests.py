"""Every recorded client request: what would reach Vertex AI is valid by the official SDK's own request types, is
accepted by the emulator's rules, is the same bytes twice, and grows by appending."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import pydantic
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

from modelmux import Config
from modelmux.app import Gateway
from modelmux.catalog import builtin
from modelmux.claude.options import Options
from modelmux.claude.prefix import first_difference
from modelmux.claude.prepare import PreparedRequest
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.emulator import EmulatorSettings, RunningEmulator
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import AssistantMessage, ChatRequest, decode_request_with_unknown
from support.asgi import request
from support.clock import current_runtime
from support.gateway import PATH
from support.recordings import openai_requests
from support.translation import translate_request

MODELS = ["claude-opus-5-5", "claude-sonnet-5", "claude-opus-4-6", "claude-haiku-4-5", "claude-3-5-haiku"]
#: What may be refused, by the field the refusal names: nothing that Claude could answer truthfully.
REFUSED = (
    "n",
    "logprobs",
    "top_logprobs",
    "audio",
    "modalities",
    "tools",
    "tool_choice",
    "messages",
    "response_format",
    "web_search_options",
)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SDK = pydantic.TypeAdapter(MessageCreateParamsNonStreaming)


def decode(recording: dict[str, Any], model: str) -> tuple[ChatRequest, list[str]]:
    return decode_request_with_unknown(json.dumps({**recording["request"], "model": model}).encode())


def assets(request: ChatRequest) -> dict[str, anthropic.ImageBlock | anthropic.DocumentBlock]:
    image = anthropic.ImageBlock(anthropic.Base64Source("image/png", PNG))
    return dict.fromkeys(to_claude_request(request)[0].urls, image)


def translate(request: ChatRequest, unknown: list[str], model: str) -> PreparedRequest:
    options = Options(forced_tool_choice="downgrade", prefill="continue")
    return translate_request(request, builtin().card(model), options, unknown=unknown, assets=assets(request))


def check_refusal(error: InvalidRequest) -> None:
    assert error.param is not None, error.message
    assert error.param.partition(".")[0] in REFUSED, f"{error.param}: {error.message}"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("recording", openai_requests())
def test_valid_and_the_same_twice(recording: dict[str, Any], model: str) -> None:
    try:
        first = translate(*decode(recording, model), model)
    except InvalidRequest as error:
        check_refusal(error)
        return
    encoded = anthropic.encode_request(first.body)
    assert anthropic.encode_request(translate(*decode(recording, model), model).body) == encoded
    body = json.loads(encoded)
    assert body.pop("anthropic_version") == "vertex-2023-10-16"
    for name in ("temperature", "top_p", "top_k"):  # gone from the SDK's types, accepted by older models
        assert name not in body or builtin().card(model).sampling == "accept"
        body.pop(name, None)
    SDK.validate_python({**body, "model": model}, strict=False)


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-haiku-4-5"])
@pytest.mark.parametrize("recording", openai_requests())
def test_each_turn_extends_the_one_before(recording: dict[str, Any], model: str) -> None:
    try:
        request, unknown = decode(recording, model)
    except InvalidRequest as error:
        check_refusal(error)
        return
    if not (request.tools or request.functions):
        return  # recorded without the tools its history used: the turns before it were other requests
    cuts = [i for i, m in enumerate(request.messages) if isinstance(m, AssistantMessage) and i > 0]
    bodies = []
    for cut in [*cuts, len(request.messages)]:
        shorter = msgspec.structs.replace(request, messages=request.messages[:cut])
        try:
            bodies.append(translate(shorter, unknown, model).body)
        except InvalidRequest as error:
            check_refusal(error)
            return
    for earlier, later in itertools.pairwise(bodies):
        assert first_difference(earlier, later) is None


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("recording", openai_requests())
async def test_the_emulator_accepts_it(recording: dict[str, Any], model: str) -> None:
    """The rules of the service, as an independent hand wrote them down."""
    async with RunningEmulator(EmulatorSettings(tokens_per_second=0)) as emulator:
        vertex = {
            "project": "p", "location": "global", "base_url": emulator.base_url, "forced_tool_choice": "downgrade",
            "prefill": "continue", "models": [{"name": model, "model": model}],
        }  # fmt: skip
        app = Gateway(
            Config.from_dict({"vertex": vertex, "auth": {"access_token": "t"}}),
            environment={},
            runtime=current_runtime(),
        )
        body = {**recording["request"], "model": model, "stream": False}
        try:
            if to_claude_request(decode(recording, model)[0])[0].urls:
                pytest.skip("refers to URLs that are not here")
        except InvalidRequest as error:
            check_refusal(error)
        response = await request(app, "POST", PATH, body)
        await app.aclose()
        reached = emulator.app.requests()
    if response.status == 400 and not reached:  # refused by the gateway, before the upstream
        assert response.json()["error"]["param"].partition(".")[0] in REFUSED, response.json()
        return
    assert response.status == 200, response.json()
