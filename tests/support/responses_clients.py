"""The clients of the Responses API that the end-to-end tests run: their cases, and what is different about each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from support import clients

SONNET, OPUS, HAIKU = "claude-sonnet-4-6", "claude-opus-5-5", "claude-haiku-4-5"
MODELS = [SONNET, OPUS, HAIKU]
KEY = "sk-e2e-clients-2b9f1c7d5a"

THINKING = {"thinking", "thinking_sealed"}
ENDS = {"truncated_stream", "refused_stream"}
ERRORS = {
    "bad_request", "unknown_key", "unknown_model", "rate_limit", "unavailable", "unavailable_twice",
    "broken_stream", "cut_stream",
}  # fmt: skip
TALK = {"chat", "stream", "tools_stream", "structured", "image"} | ENDS | ERRORS
FRAMEWORK = TALK | THINKING | {"tools", "truncated", "refused"}
SDK = FRAMEWORK | {
    "thinking_stored", "structured_stream", "structured_tool", "stored", "count_tokens", "compacted",
    "broken_stream_helper",
}  # fmt: skip

#: Case -> name of the error, and its status.
Errors = dict[str, tuple[str | None, int | None]]
#: Case -> what the client tells of such an end.
Ends = dict[str, dict[str, Any]]

REFUSAL = "This is about locks."


class Client(NamedTuple):
    """:param cases: those its script has. ``forgets``: those of its cases in which it sends no reasoning back.
    ``tries``: how often it calls before it gives up. ``variables``: of its environment.
    """

    interpreter: Path
    script: str
    cases: set[str]
    errors: Errors
    ends: Ends
    forgets: frozenset[str] = frozenset()
    tries: int = 3
    tries_of_400: int = 1
    variables: Mapping[str, str] = {}


def _errors(names: str, **others: tuple[str | None, int | None]) -> Errors:
    """Errors of an SDK that names them as OpenAI's does; ``names`` comes before each."""
    return {
        "bad_request": (f"{names}BadRequestError", 400),
        "unknown_key": (f"{names}AuthenticationError", 401),
        "unknown_model": (f"{names}NotFoundError", 404),
        "rate_limit": (f"{names}RateLimitError", 429),
        "unavailable": (f"{names}InternalServerError", 503),
        **others,
    }


def _ends(truncated: dict[str, Any], refused: dict[str, Any], **others: dict[str, Any]) -> Ends:
    return {
        "truncated": truncated,
        "truncated_stream": truncated,
        "refused": refused,
        "refused_stream": refused,
        **others,
    }


_TRUNCATED = {"kind": None, "why": ["incomplete", "max_output_tokens"], "refusals": []}
_REFUSED = {"kind": None, "why": ["completed", None], "refusals": [REFUSAL]}
_NODE_ERRORS = _errors(
    "",
    broken_stream=("response.failed", None),
    broken_stream_helper=(None, None),
    cut_stream=("response.failed", None),
)
_AI_SDK = FRAMEWORK | {
    "thinking_stored", "structured_stream", "reasoning", "reasoning_stream", "reasoning_tools",
}  # fmt: skip


def _node(package: str) -> Client:
    return Client(
        clients.NODE,
        "node/openai_responses_client.mjs",
        SDK | {"aborts"},
        _NODE_ERRORS,
        _ends(_TRUNCATED, _REFUSED),
        variables={"CLIENTS_PACKAGE": package},
    )


def _ai_sdk(package: str, provider: str, broken: str) -> Client:
    return Client(
        clients.NODE,
        "node/ai_sdk_responses_client.mjs",
        _AI_SDK,
        {
            "bad_request": ("APICallError", 400),
            "unknown_key": ("APICallError", 401),
            "unknown_model": ("APICallError", 404),
            "rate_limit": ("RetryError", None),  # it holds the last error, which has the status
            "unavailable": ("RetryError", None),
            "broken_stream": (broken, 500),
            "cut_stream": (broken, 500),
        },
        _ends({"kind": None, "why": "length"}, {"kind": None, "why": "content-filter", "text": REFUSAL}),
        variables={"CLIENTS_PACKAGE": package, "CLIENTS_PROVIDER": provider},
    )


CLIENTS = {
    "openai": Client(
        clients.PYTHON,
        "python/openai_responses_client.py",
        SDK,
        _errors(
            "openai.",
            broken_stream=("response.failed", None),
            broken_stream_helper=("builtins.RuntimeError", None),
            cut_stream=("response.failed", None),
        ),
        _ends(_TRUNCATED, _REFUSED, truncated_stream={"kind": "builtins.RuntimeError"}),
    ),
    "openai-node": _node("openai"),
    "openai-node-6": _node("openai-6"),
    "openai-agents": Client(
        clients.PYTHON,
        "python/openai_agents_client.py",
        FRAMEWORK | {"thinking_stored", "handoff", "structured_stream"},
        _errors(
            "openai.",
            broken_stream=("agents.ModelBehaviorError", None),
            cut_stream=("agents.ModelBehaviorError", None),
        ),
        _ends(
            {"kind": "agents.ModelBehaviorError", "message": "max_output_tokens"},
            {"kind": "agents.ModelRefusalError", "message": REFUSAL},
        ),
    ),
    "ai-sdk": _ai_sdk("ai", "@ai-sdk/openai", "StreamProviderError"),
    "ai-sdk-6": _ai_sdk("ai-6", "ai-sdk-openai-3", "Object"),
    "langchain": Client(
        clients.PYTHON,
        "python/langchain_responses_client.py",
        FRAMEWORK | {"thinking_stored", "structured_stream"},
        {
            "bad_request": ("langchain_openai.OpenAIInvalidRequestError", 400),
            "unknown_key": ("langchain_openai.OpenAIAuthenticationError", 401),
            "unknown_model": ("langchain_openai.OpenAIModelNotFoundError", 404),
            "rate_limit": ("langchain_openai.OpenAIRateLimitError", 429),
            "unavailable": ("langchain_openai.OpenAIAPIError", 503),
            "broken_stream": ("builtins.ValueError", None),
            "cut_stream": ("builtins.ValueError", None),
        },
        _ends(_TRUNCATED, _REFUSED),
    ),
    "pydantic-ai": Client(
        clients.PYTHON,
        "python/pydantic_ai_responses_client.py",
        FRAMEWORK
        | {"thinking_stored", "thinking_by_default", "structured_stream", "structured_by_tool", "count_tokens"},
        {
            "bad_request": ("pydantic_ai.ModelRequestRejectedError", 400),
            "unknown_key": ("pydantic_ai.ModelAuthenticationError", 401),
            "unknown_model": ("pydantic_ai.ModelNotFoundError", 404),
            "rate_limit": ("pydantic_ai.ModelRateLimitError", 429),
            "unavailable": ("pydantic_ai.ModelUnavailableError", 503),
            "broken_stream": ("pydantic_ai.ModelServerError", 500),
            "cut_stream": ("pydantic_ai.ModelServerError", 500),
        },
        _ends({"kind": None, "why": "length"}, {"kind": "pydantic_ai.ContentFilterError", "message": REFUSAL}),
        forgets=frozenset({"thinking_by_default"}),
    ),
    # agno and Haystack look neither at refusals nor at response.failed: OpenAI's own would be lost on them, too.
    "agno": Client(
        clients.PYTHON,
        "python/agno_client.py",
        FRAMEWORK | {"structured_stream"},
        {
            "bad_request": ("agno.ModelProviderError", 400),
            "unknown_key": ("agno.ModelProviderError", 401),
            "unknown_model": ("agno.ModelProviderError", 404),
            "rate_limit": ("__main__.RunFailed", None),
            "unavailable": ("__main__.RunFailed", None),
            "broken_stream": (None, None),
            "cut_stream": (None, None),
        },
        _ends(
            {"kind": None, "why": "COMPLETED"},
            {"kind": None, "text": "", "why": "COMPLETED"},
            refused_stream={"kind": None, "text": None, "why": "COMPLETED"},
        ),
        forgets=frozenset({"thinking"}),
        tries_of_400=2,  # its script asks the agent, and the model
    ),
    "haystack": Client(
        clients.PYTHON,
        "python/haystack_client.py",
        FRAMEWORK,
        _errors("openai.", broken_stream=(None, None), cut_stream=(None, None)),  # its meta says "failed"
        _ends(
            {"kind": None, "why": ["incomplete", "length"]},
            {"kind": None, "text": "", "why": ["completed", "stop"]},
        ),
        tries=6,
    ),
    "strands": Client(
        clients.PYTHON_STRANDS,
        "python/strands_client.py",
        TALK | {"thinking", "thinking_stored", "structured_tool"},
        _errors(
            "openai.",
            rate_limit=("strands.ModelThrottledException", None),
            broken_stream=("strands._OpenAIResponsesStreamError", None),
            cut_stream=("strands._OpenAIResponsesStreamError", None),
        ),
        {
            "truncated_stream": {"kind": "strands.MaxTokensReachedException"},
            "refused_stream": {"kind": None, "text": "", "why": "end_turn"},
        },
        forgets=frozenset({"thinking"}),
    ),
}
