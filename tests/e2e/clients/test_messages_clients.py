"""The anthropic SDKs, LangChain, pydantic-ai and the AI SDK, unmodified, through the gateway: as clients of Anthropic's
API, and as clients of Vertex AI.

Each has a script in ``python/`` or ``node/`` that runs the same cases in the client's own manner, all in one process.
What a case returns is the same for all; what is different about a client stands in ``CLIENTS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from modelmux.dialects.registry import SURFACES
from support import clients
from support.emulator_log import Received
from support.processes import Process

SONNET, OPUS, HAIKU = "claude-sonnet-4-6", "claude-opus-5-5", "claude-haiku-4-5"
MODELS = [SONNET, OPUS, HAIKU]
KEY = "sk-e2e-clients-2b9f1c7d5a"
ECHOED = "one two three grüße 東京 six seven"
COUNTS = any(surface.operation == "count_tokens" for surface in SURFACES)

TALK = {"chat", "stream", "tools_stream", "thinking"}
ERRORS = {"bad_request", "unknown_model", "rate_limit", "overloaded", "cut_stream"}
SDK = TALK | ERRORS | {
    "tools", "tools_run", "count_tokens", "betas", "overloaded_twice", "broken_stream", "unknown_key", "google_token",
}  # fmt: skip
#: Of Anthropic's own API: Vertex AI has no such paths.
OWN_PATHS = {"models", "batches"}
FRAMEWORK = (TALK - {"tools_stream"}) | ERRORS | {"tools", "structured", "image", "broken_stream"}
AI_SDK = FRAMEWORK | {"tools_stream", "structured_stream", "reasoning", "reasoning_stream", "reasoning_tools"}

Errors = dict[str, str]


def _sdk_errors(module: str) -> Errors:
    return {
        "bad_request": f"{module}BadRequestError",
        "unknown_model": f"{module}NotFoundError",
        "batches": f"{module}NotFoundError",
        "unknown_key": f"{module}AuthenticationError",
        "google_token": f"{module}AuthenticationError",
        "rate_limit": f"{module}RateLimitError",
        "overloaded": f"{module}OverloadedError",
        "broken_stream": f"{module}APIStatusError" if module else "APIError",
        "cut_stream": f"{module}APIStatusError" if module else "APIError",
    }


PYTHON_ERRORS, NODE_ERRORS = _sdk_errors("anthropic."), _sdk_errors("")
AI_SDK_ERRORS = {
    "bad_request": "APICallError",
    "unknown_model": "APICallError",
    "rate_limit": "RetryError",
    "overloaded": "RetryError",
    "broken_stream": "StreamProviderError",
    "cut_stream": "StreamProviderError",
}
LANGCHAIN_ERRORS = {
    "bad_request": "langchain_anthropic.AnthropicInvalidRequestError",
    "unknown_model": "langchain_anthropic.AnthropicModelNotFoundError",
    "rate_limit": "langchain_anthropic.AnthropicRateLimitError",
    "overloaded": "langchain_anthropic.AnthropicOverloadedError",
    "broken_stream": "anthropic.APIStatusError",
    "cut_stream": "anthropic.APIStatusError",
}
PYDANTIC_AI_ERRORS = {
    "bad_request": "pydantic_ai.ModelRequestRejectedError",
    "unknown_model": "pydantic_ai.ModelNotFoundError",
    "rate_limit": "pydantic_ai.ModelRateLimitError",
    "overloaded": "pydantic_ai.ModelOverloadedError",
    "broken_stream": "pydantic_ai.ModelOverloadedError",
    "cut_stream": "pydantic_ai.ModelServerError",
}


class Client(NamedTuple):
    """:param mode: ``messages`` or ``vertex``. ``errors``: names of its errors, by case. ``ids``: whether it tells
    request ids.
    """

    interpreter: Path
    script: str
    mode: str
    cases: set[str]
    errors: Errors
    ids: bool = False


def _in_both_modes(
    name: str, interpreter: Path, script: str, cases: set[str], errors: Errors, *, ids: bool = False
) -> dict[str, Client]:
    return {
        name: Client(interpreter, script, "messages", cases, errors, ids),
        f"{name}-vertex": Client(interpreter, script, "vertex", cases - OWN_PATHS, errors, ids),
    }


CLIENTS = {
    **_in_both_modes(
        "anthropic",
        clients.PYTHON,
        "python/anthropic_client.py",
        SDK | OWN_PATHS | {"long_context_name"},
        PYTHON_ERRORS,
        ids=True,
    ),
    **_in_both_modes(
        "anthropic-async",
        clients.PYTHON,
        "python/anthropic_async_client.py",
        TALK | ERRORS | {"count_tokens"},
        PYTHON_ERRORS,
        ids=True,
    ),
    **_in_both_modes(
        "anthropic-node", clients.NODE, "node/anthropic_client.mjs", SDK | OWN_PATHS | {"aborts"}, NODE_ERRORS, ids=True
    ),
    "langchain-anthropic": Client(
        clients.PYTHON,
        "python/langchain_anthropic_client.py",
        "messages",
        FRAMEWORK | {"tools_stream", "count_tokens"},
        LANGCHAIN_ERRORS,
    ),
    **_in_both_modes(
        "pydantic-ai-anthropic",
        clients.PYTHON,
        "python/pydantic_ai_anthropic_client.py",
        FRAMEWORK | {"count_tokens"},
        PYDANTIC_AI_ERRORS,
    ),
    **_in_both_modes("ai-sdk-anthropic", clients.NODE, "node/ai_sdk_anthropic_client.mjs", AI_SDK, AI_SDK_ERRORS),
}


class Run(NamedTuple):
    """What came of the cases of one client, and what the emulator received meanwhile."""

    outcomes: dict[str, Any]
    received: list[dict[str, Any]]


def having(*cases: str) -> pytest.MarkDecorator:
    """Parameters: each of the cases, of each client that has it, with each model."""
    parameters = [
        pytest.param(name, case, model, id=f"{name}-{case}-{model}")
        for name, client in CLIENTS.items()
        for case in cases
        if case in client.cases
        for model in MODELS
    ]
    return pytest.mark.parametrize(("name", "case", "model"), parameters)


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture(scope="module")
def runs(
    serve: Callable[..., Process], upstream: Process, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Run]:
    """What came of all cases of a client; it runs once, when first asked for."""
    known: dict[str, Run] = {}
    keys = f'api_keys = ["{KEY}"]'
    front = serve(upstream.url, server=keys)
    plain = serve(upstream.url, server=keys, more="[retries]\nmax = 0\n")
    received = Received(upstream.url)

    def of(name: str) -> Run:
        if name not in known:
            client = CLIENTS[name]
            received.forget()
            outcomes = clients.run_script(
                client.interpreter,
                clients.SCRIPTS / client.script,
                front.url,
                MODELS,
                tmp_path_factory.mktemp(name),
                GATEWAY_URL=front.url,
                GATEWAY_URL_WITHOUT_RETRIES=plain.url,
                GATEWAY_KEY=KEY,
                CLIENTS_MODE=client.mode,
            )
            known[name] = Run(outcomes, received.all())
        return known[name]

    return of


@pytest.fixture
def value(runs: Callable[[str], Run], name: str, case: str, model: str) -> Any:
    """What one case returned."""
    outcome = runs(name).outcomes[f"{case} {model}"]
    assert "failure" not in outcome, outcome["failure"]
    return outcome["value"]


@pytest.fixture
def tries(runs: Callable[[str], Run], name: str, case: str, model: str) -> int:
    """How often the prompt with a fault of this status reached the upstream."""
    status = {"bad_request": 400, "rate_limit": 429, "overloaded": 529, "overloaded_twice": 529}[case]
    received = [request for request in runs(name).received if f"/{model}" in request["path"]]
    words = "times=2" if case == "overloaded_twice" else "message=" if case == "bad_request" else "retry_after="
    return sum(f"status={status} {words}" in str(request["body"]["messages"][-1]) for request in received)


@pytest.mark.parametrize("name", CLIENTS)
def test_every_case_of_a_client_is_looked_at(runs: Callable[[str], Run], name: str) -> None:
    assert {key.split()[0] for key in runs(name).outcomes} == CLIENTS[name].cases


@having("chat", "stream")
def test_text_and_its_cost_arrive(value: Any, name: str, case: str) -> None:
    assert value["text"] == ECHOED
    assert value["usage"]["input"] > 0
    assert value["usage"]["output"] > 0
    if case == "stream":
        assert value["pieces"] > 1
    if CLIENTS[name].ids:
        assert value["request_id"].startswith("req_vrtx_")


@having("tools", "tools_stream", "tools_run", "thinking", "reasoning_tools")
def test_two_parallel_calls_come_back_with_their_own_results(value: Any) -> None:
    assert value["cities"] == ["Paris", "London"]
    assert value["text"].index("18 degrees") < value["text"].index("rain at 14 degrees")


@having("thinking")
def test_thinking_goes_back_with_its_signatures(value: Any, runs: Callable[[str], Run], name: str, model: str) -> None:
    """Over three turns. The emulator accepts only signatures of its own, of exactly this conversation."""
    assert value["last"] == "thank you"
    assert len(value["signatures"]) >= (1 if model == HAIKU else 2)  # which does not think between tools
    histories = [
        [block["signature"] for m in request["body"]["messages"] for block in _blocks(m) if block["type"] == "thinking"]
        for request in runs(name).received
        if f"/{model}" in request["path"]
    ]
    assert value["signatures"] in histories


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


@having("reasoning", "reasoning_stream")
def test_reasoning_is_shown(value: Any) -> None:
    assert value["text"] == ECHOED
    assert value["reasoning"].startswith("The user says: repeat after me")


@having("structured", "structured_stream")
def test_structured_output_is_what_the_client_asked_for(value: Any) -> None:
    """The client has validated it; here it only has to be about the question."""
    assert value["city"] == "Oslo"
    assert value["unit"] in ("celsius", "fahrenheit")
    assert len(value["spots"]) > 0


@having("image")
def test_an_image_arrives_unchanged(value: Any) -> None:
    assert f"I received an image (image/png, {len(clients.PICTURE)} bytes)." in value["text"]


@pytest.mark.skipif(not COUNTS, reason="the gateway has no operation count_tokens yet")
@having("count_tokens")
def test_tokens_are_counted(value: Any) -> None:
    assert value["count"] > 5
    assert value.get("beta", value["count"]) == value["count"]


@having("models")
def test_models_are_listed(value: Any, model: str) -> None:
    assert set(MODELS) <= set(value["ids"])
    assert value["one"] == model
    assert value["request_id"].startswith("req_")


@having("betas")
def test_betas_reach_the_upstream_as_the_table_says(
    value: Any, runs: Callable[[str], Run], name: str, model: str
) -> None:
    assert value["text"] == ECHOED
    headers = [request["headers"].get("anthropic-beta") for request in runs(name).received if model in request["path"]]
    assert "interleaved-thinking-2025-05-14,tool-search-tool-2025-10-19,not-known-yet-2027-01-01" in headers


@having("long_context_name")
def test_a_name_with_claude_codes_suffix_is_the_same_model(value: Any) -> None:
    assert value["text"] == ECHOED


@having("aborts")
def test_a_stream_may_be_left(value: Any) -> None:
    assert value == {"seen": 3, "aborted": True}


@having("bad_request")
def test_a_400_keeps_the_words_of_the_upstream_and_is_not_retried(value: Any, tries: int, name: str) -> None:
    client = CLIENTS[name]
    assert value["kind"] == client.errors["bad_request"]
    assert value["status"] == 400
    assert "no such luck" in value["message"]
    if client.ids:
        assert value["request_id"].startswith("req_vrtx_")
    assert tries == 1


@having("unknown_model")
def test_an_unknown_model_is_the_clients_own_not_found(value: Any, name: str, model: str) -> None:
    client = CLIENTS[name]
    assert value["kind"] == client.errors["unknown_model"]
    assert value["status"] == 404
    assert f"model: {model}-no" in value["message"]
    if client.ids:
        assert value["request_id"].startswith("req_")


@having("rate_limit", "overloaded")
def test_a_busy_upstream_is_the_clients_own_error_after_its_own_retries(
    value: Any, tries: int, name: str, case: str
) -> None:
    client = CLIENTS[name]
    assert value["kind"] == client.errors[case]
    if client.errors is not AI_SDK_ERRORS:  # its RetryError holds the last error, which has the status
        assert value["status"] == {"rate_limit": 429, "overloaded": 529}[case]
    if client.ids:
        assert value["request_id"].startswith("req_vrtx_")
    assert tries == 3


@having("overloaded_twice")
def test_the_retries_of_a_client_get_through(value: Any, tries: int) -> None:
    assert value["text"] == "a b c d e f g h i j k l m n o p"
    assert tries == 3


@having("broken_stream", "cut_stream")
def test_a_stream_that_breaks_is_an_error_of_the_client(value: Any, name: str, case: str) -> None:
    client = CLIENTS[name]
    words = {"broken_stream": "Overloaded", "cut_stream": "before the reply was complete"}
    assert value["kind"] == client.errors[case]
    assert words[case] in value["message"]


@having("unknown_key")
def test_a_key_of_another_gateway_is_refused(value: Any, name: str) -> None:
    assert value["kind"] == CLIENTS[name].errors["unknown_key"]
    assert value["status"] == 401
    assert "is not valid here" in value["message"]
    assert value["request_id"].startswith("req_")


@having("google_token")
def test_a_google_token_in_place_of_a_key_is_refused_with_a_hint(value: Any, name: str) -> None:
    assert value["kind"] == CLIENTS[name].errors["google_token"]
    assert value["status"] == 401
    assert "holds a Google access token" in value["message"]
    assert "Pass the gateway's key as the access token." in value["message"]


@having("batches")
def test_a_path_that_is_not_served_is_not_found(value: Any, name: str) -> None:
    assert value["kind"] == CLIENTS[name].errors["batches"]
    assert value["status"] == 404
    assert "/v1/messages" in value["message"]
