"""The openai SDKs, the OpenAI Agents SDK, the AI SDK, LangChain, pydantic-ai, agno, Haystack and Strands, unmodified,
on the Responses API.

Each has a script in ``python/`` or ``node/`` that runs the same cases in the client's own manner, all in one process.
What a case returns is the same for all; what is different about a client stands in ``support/responses_clients.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from support import clients
from support.emulator_log import Received
from support.processes import Process
from support.responses_clients import CLIENTS, HAIKU, KEY, MODELS, OPUS, Client

ECHOED = "one two three grüße 東京 six seven"
FAULTED = "a b c d e f g h i j k l m n o p"


class Run(NamedTuple):
    """What came of the cases of one client with one model, and what the emulator received meanwhile."""

    outcomes: dict[str, Any]
    received: list[dict[str, Any]]

    def bodies(self, mark: str) -> list[dict[str, Any]]:
        """The requests whose first text holds a mark."""
        return [request["body"] for request in self.received if mark in str(request["body"]["messages"][0])]


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
) -> Callable[[str, str], Run]:
    """What came of all cases of a client with a model; they run once, when first asked for."""
    known: dict[tuple[str, str], Run] = {}
    keys = f'api_keys = ["{KEY}"]'
    front = serve(upstream.url, server=keys)
    plain = serve(upstream.url, server=keys, more="[retries]\nmax = 0\n")
    received = Received(upstream.url)

    def of(name: str, model: str) -> Run:
        if (name, model) not in known:
            client = CLIENTS[name]
            received.forget()
            outcomes = clients.run_script(
                client.interpreter,
                clients.SCRIPTS / client.script,
                front.url,
                [model],
                tmp_path_factory.mktemp(name),
                GATEWAY_URL=front.url,
                GATEWAY_URL_WITHOUT_RETRIES=plain.url,
                GATEWAY_KEY=KEY,
                CLIENTS_MODE="responses",
                **client.variables,
            )
            known[name, model] = Run(outcomes, received.all())
        return known[name, model]

    return of


@pytest.fixture
def run(runs: Callable[[str, str], Run], name: str, model: str) -> Run:
    return runs(name, model)


@pytest.fixture
def value(run: Run, case: str, model: str) -> Any:
    """What one case returned."""
    outcome = run.outcomes[f"{case} {model}"]
    assert "failure" not in outcome, outcome["failure"]
    return outcome["value"]


@pytest.fixture
def client(name: str) -> Client:
    return CLIENTS[name]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CLIENTS)
def test_every_case_of_a_client_is_looked_at(run: Run, client: Client) -> None:
    assert {key.split()[0] for key in run.outcomes} == client.cases


@having("chat", "stream")
def test_text_and_its_cost_arrive(value: Any, case: str) -> None:
    assert value["text"] == ECHOED
    assert value["usage"]["input"] > 0
    assert value["usage"]["output"] > 0
    if case == "stream":
        assert value["pieces"] > 1


THINKING = ["thinking", "thinking_by_default", "thinking_sealed", "thinking_stored"]


@having("tools", "tools_stream", "reasoning_tools")
def test_two_parallel_calls_come_back_with_their_own_results(value: Any) -> None:
    assert value["cities"] == ["Paris", "London"]
    assert value["text"].index("18 degrees") < value["text"].index("rain at 14 degrees")


@having(*THINKING)
def test_thinking_goes_back_with_its_signatures(value: Any, run: Run, client: Client, case: str, model: str) -> None:
    """Over three turns and one more. The emulator takes only signatures of its own, of exactly this conversation."""
    assert value["cities"] == ["Paris", "London"]
    assert "rain at 14 degrees" in value["text"]
    assert value["last"] == "thank you"
    bodies = run.bodies(f"[{case}]")
    assert len(bodies) == 4  # none was refused and tried again without its thinking
    histories = [thinking_in(body) for body in bodies]
    for shorter, longer in itertools.pairwise(histories):
        assert longer[: len(shorter)] == shorter
    thoughts = 2 if model == HAIKU else 4  # which does not think between tools
    assert value["thoughts"] == thoughts
    if case in client.forgets:  # what belongs to a call is remembered by the gateway
        assert len(histories[-1]) == (1 if model == HAIKU else 2)
    else:
        assert len(histories[-1]) == thoughts - 1


def thinking_in(body: dict[str, Any]) -> list[list[str]]:
    """The signatures of each run of thinking blocks, which is one reasoning item."""
    runs = []
    for message in body["messages"]:
        blocks = message["content"] if isinstance(message["content"], list) else []
        for kind, run in itertools.groupby(blocks, lambda block: block["type"]):
            if kind == "thinking":
                runs.append([block["signature"] for block in run])
    return runs


@having("handoff")
def test_a_conversation_is_handed_to_another_agent(value: Any) -> None:
    assert value["agent"] == "Forecaster"
    assert value["kinds"] == ["handoff_call_item", "handoff_output_item"]
    assert value["text"].index("18 degrees") < value["text"].index("rain at 14 degrees")


@having("reasoning", "reasoning_stream")
def test_reasoning_is_counted_and_shown_beside_the_text(value: Any) -> None:
    assert value["text"] == ECHOED
    assert value["reasoning"].startswith("The user says: repeat after me")
    assert value["reasoning_tokens"] > 0


@having("structured", "structured_stream", "structured_tool")
def test_structured_output_is_what_the_client_asked_for(value: Any) -> None:
    """The client has validated it; here it only has to be about the question."""
    assert value["city"] == "Oslo"
    assert value["unit"] in ("celsius", "fahrenheit")
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
def test_an_image_arrives_unchanged(value: Any) -> None:
    assert f"I received an image (image/png, {len(clients.PICTURE)} bytes)." in value["text"]


@having("stored")
def test_a_response_is_stored_until_it_is_deleted(value: Any) -> None:
    assert value["same"]
    assert value["input"] == [f"repeat after me: {ECHOED}"]
    assert value["gone"]["status"] == 404
    assert value["continued"]["status"] == 400
    assert "Previous response with id 'resp_" in value["continued"]["message"]


@having("count_tokens")
def test_tokens_are_counted(value: Any) -> None:
    assert value["count"] > 5


@having("compacted")
def test_a_compacted_conversation_goes_on(value: Any) -> None:
    assert value == {"kinds": ["compaction"], "last": "thank you"}


@having("aborts")
def test_a_stream_may_be_left(value: Any) -> None:
    assert value == {"seen": 3, "aborted": True}


@having("truncated", "truncated_stream", "refused", "refused_stream")
def test_a_reply_that_was_cut_or_refused_says_so(value: Any, client: Client, case: str) -> None:
    expected = client.ends[case]
    assert value.items() >= {key: part for key, part in expected.items() if key != "message"}.items()
    assert expected.get("message", "") in value.get("message", "")
    if case.startswith("truncated") and value["kind"] is None:
        assert len(value["text"]) > 100


WORDS = {
    "bad_request": "no such luck",
    "unknown_key": "is not valid here",
    "unknown_model": "-no' does not exist here.",
    "rate_limit": "would exceed your rate limit",
    "unavailable": "out of service",
    "broken_stream": "Overloaded",
    "broken_stream_helper": "",
    "cut_stream": "before the reply was complete",
}


@having(*WORDS)
def test_an_error_is_the_clients_own_with_the_gateways_words(value: Any, client: Client, case: str) -> None:
    kind, status = client.errors[case]
    assert (value["kind"], value.get("status")) == (kind, status)
    assert (WORDS[case] if kind else "") in value.get("message", "")


@having("bad_request", "rate_limit", "unavailable")
def test_a_client_retries_as_it_would_with_openai(run: Run, client: Client, case: str) -> None:
    words = {"bad_request": "status=400 message=", "rate_limit": "status=429", "unavailable": "status=503 message="}[
        case
    ]
    tries = sum(words in str(request["body"]["messages"][-1]) for request in run.received)
    assert tries == (client.tries_of_400 if case == "bad_request" else client.tries)


@having("unavailable_twice")
def test_the_retries_of_a_client_get_through(value: Any) -> None:
    assert value["text"] == FAULTED
