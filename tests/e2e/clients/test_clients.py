"""LangChain, pydantic-ai, instructor, LiteLLM, openai-node and the Vercel AI SDK, unmodified, through the gateway.

Each has a script in ``python/`` or ``node/`` that runs the same cases in the client's own manner, all in one process.
What a case returns is the same for all; what is different about a client stands in ``CLIENTS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import clients
from support.processes import Process

SONNET, OPUS, HAIKU = "claude-sonnet-4-6", "claude-opus-5-5", "claude-haiku-4-5"
MODELS = [SONNET, OPUS, HAIKU]
ECHOED = "one two three grüße 東京 six seven"

TALK = {"chat", "stream", "tools", "tools_stream", "reasoning", "reasoning_tools", "bad_request", "broken_stream"}
COMMON = TALK | {"structured", "image", "unknown_model"}


class Client(NamedTuple):
    """:param cases: those its script has. ``shows``: whether it reads reasoning. The rest: names of its errors."""

    interpreter: Path
    script: str
    cases: set[str]
    shows: bool
    not_found: str
    bad_request: str
    broken: str
    status: bool = True


CLIENTS = {
    "langchain": Client(
        clients.PYTHON,
        "python/langchain_client.py",
        COMMON | {"structured_by_tool"},
        shows=False,
        not_found="langchain_openai.OpenAIModelNotFoundError",
        bad_request="langchain_openai.OpenAIInvalidRequestError",
        broken="openai.APIError",
    ),
    "pydantic-ai": Client(
        clients.PYTHON,
        "python/pydantic_ai_client.py",
        COMMON | {"structured_by_tool", "structured_stream"},
        shows=True,
        not_found="pydantic_ai.ModelNotFoundError",
        bad_request="pydantic_ai.ModelRequestRejectedError",
        broken="pydantic_ai.ModelOverloadedError",
    ),
    "instructor": Client(
        clients.PYTHON_LITELLM,
        "python/instructor_client.py",
        (COMMON - TALK) | {"structured_by_tool", "structured_stream", "asks_again", "asks_again_by_tool"},
        shows=False,
        not_found="instructor.InstructorRetryException",
        bad_request="instructor.InstructorRetryException",
        broken="",
        status=False,
    ),
    "litellm": Client(
        clients.PYTHON_LITELLM,
        "python/litellm_client.py",
        COMMON | {"reasoning_stream"},
        shows=True,
        not_found="litellm.NotFoundError",
        bad_request="litellm.BadRequestError",
        broken="litellm.MidStreamFallbackError",
    ),
    "openai-node": Client(
        clients.NODE,
        "node/openai_client.mjs",
        COMMON | {"tools_run", "structured_stream", "aborts"},
        shows=True,
        not_found="NotFoundError",
        bad_request="BadRequestError",
        broken="APIError",
    ),
    "ai-sdk-compatible": Client(
        clients.NODE,
        "node/ai_sdk_compatible_client.mjs",
        COMMON | {"structured_stream", "reasoning_stream"},
        shows=True,
        not_found="APICallError",
        bad_request="APICallError",
        broken="StreamProviderError",
    ),
    "ai-sdk-openai": Client(
        clients.NODE,
        "node/ai_sdk_openai_client.mjs",
        COMMON | {"structured_stream", "reasoning_stream"},
        shows=False,
        not_found="APICallError",
        bad_request="APICallError",
        broken="StreamProviderError",
    ),
}


def having(*cases: str) -> pytest.MarkDecorator:
    """Parameters: each of the cases, of each client that has it, with each model."""
    found = [
        pytest.param(name, case, model, id=f"{name}-{case}-{model}")
        for name, client in CLIENTS.items()
        for case in cases
        if case in client.cases
        for model in MODELS
    ]
    return pytest.mark.parametrize(("name", "case", "model"), found)


@pytest.fixture(scope="session")
def outcomes(gateway: Process, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What came of all cases of a client; it runs once, when first asked for."""
    known: dict[str, dict[str, Any]] = {}

    def of(name: str) -> dict[str, Any]:
        if name not in known:
            client = CLIENTS[name]
            home = tmp_path_factory.mktemp(name)
            known[name] = clients.run_script(
                client.interpreter, clients.SCRIPTS / client.script, gateway.url, MODELS, home
            )
        return known[name]

    return of


@pytest.fixture
def value(outcomes: Callable[[str], dict[str, Any]], name: str, case: str, model: str) -> Any:
    """What one case returned."""
    outcome = outcomes(name)[f"{case} {model}"]
    assert "failure" not in outcome, outcome["failure"]
    return outcome["value"]


@pytest.mark.parametrize("name", CLIENTS)
def test_no_case_of_a_client_goes_unlooked_at(outcomes: Callable[[str], dict[str, Any]], name: str) -> None:
    assert {key.split()[0] for key in outcomes(name)} == CLIENTS[name].cases


@having("chat", "stream")
def test_text_and_its_cost_arrive(value: Any, name: str, case: str, model: str) -> None:
    assert value["text"] == ECHOED
    assert value["usage"]["input"] > 0
    assert value["usage"]["output"] > 0
    if case == "stream":
        assert value["pieces"] > 1


@having("tools", "tools_stream", "tools_run", "reasoning_tools")
def test_two_parallel_calls_come_back_with_their_own_results(value: Any) -> None:
    assert value["cities"] == ["Paris", "London"]
    assert value["text"].index("18 degrees") < value["text"].index("rain at 14 degrees")


@having("structured", "structured_stream")
def test_structured_output_is_what_the_client_asked_for(value: Any) -> None:
    """The client has validated it; here it only has to be about the question."""
    assert value["city"] == "Oslo"
    assert value["unit"] in ("celsius", "fahrenheit")
    assert value["best"].keys() == {"name", "height"}
    assert len(value["spots"]) > 0


@having("structured_by_tool")
def test_a_forced_tool_is_called(value: Any, name: str, model: str) -> None:
    """The newest models cannot be forced: there the model decides. The emulator calls a tool that the text names, and
    that of pydantic-ai is "final_result"."""
    if model == OPUS and name.startswith("pydantic-ai"):
        assert value["kind"] == "pydantic_ai.UnexpectedModelBehavior"
        assert "tool choice" not in value["message"]
    else:
        assert value["kind"] is None
        assert "Oslo" in value["said"]


@having("image")
def test_an_image_arrives_whole(value: Any) -> None:
    assert f"I received an image (image/png, {len(clients.PICTURE)} bytes)." in value["text"]


@having("reasoning", "reasoning_stream")
def test_reasoning_is_counted_and_shown_beside_the_text(value: Any, name: str) -> None:
    assert value["text"] == ECHOED
    assert value["reasoning_tokens"] > 0
    if CLIENTS[name].shows:
        assert value["reasoning"].startswith("The user says: repeat after me")


@having("asks_again")
def test_a_reply_that_does_not_validate_is_asked_for_again(value: Any) -> None:
    assert value == {"tries": 2}


@having("asks_again_by_tool")
def test_a_call_that_does_not_validate_is_asked_for_again(value: Any, model: str) -> None:
    """Where no tool can be forced, the model decides; the emulator calls none that the text does not name."""
    if model == OPUS:
        assert value["kind"] == "instructor.InstructorRetryException"
        assert "No tool calls" in value["message"]
    else:
        assert value["said"] == "{'tries': 2}"


@having("aborts")
def test_a_stream_may_be_left(value: Any) -> None:
    assert value == {"seen": 3, "aborted": True}


@having("unknown_model")
def test_an_unknown_model_is_the_clients_own_not_found(value: Any, name: str, model: str) -> None:
    assert value["kind"] == CLIENTS[name].not_found
    assert value["status"] == (404 if CLIENTS[name].status else None)
    assert f"The model '{model}-no' does not exist here." in value["message"]


@having("bad_request")
def test_a_wrong_value_is_the_clients_own_bad_request(value: Any, name: str) -> None:
    assert value["kind"] == CLIENTS[name].bad_request
    assert value["status"] == 400
    assert "Invalid value for 'temperature'" in value["message"]


@having("broken_stream")
def test_a_stream_that_breaks_is_an_error_of_the_client(value: Any, name: str) -> None:
    assert value["kind"] == CLIENTS[name].broken
    assert "Overloaded" in value["message"]


@pytest.mark.parametrize("name", ["langchain", "instructor"])
def test_a_tool_that_cannot_be_forced_is_refused_with_a_way_out_where_that_is_set(
    serve: Callable[..., Process], emulator: Process, tmp_path: Path, name: str
) -> None:
    refused = f'[[vertex.models]]\nname = "{OPUS}"\nforced_tool_choice = "error"\n'
    process = serve(emulator.url, more=refused)
    client = CLIENTS[name]
    script = clients.SCRIPTS / client.script
    outcomes = clients.run_script(client.interpreter, script, process.url, [OPUS], tmp_path)
    value = outcomes[f"structured_by_tool {OPUS}"]["value"]
    assert value["kind"] is not None
    message = value["message"].replace("\\'", "'")  # instructor shows the body as Python does
    assert "does not support a forced tool choice. Use tool_choice 'auto'" in message
