"""The APIs that the playground speaks: the body of a request, how it has a key, and how its stream is read."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from modelmux.dashboard.playground.answers import Reader, read_chat, read_messages, read_responses
from modelmux.dashboard.playground.question import Question
from modelmux.dialects.base import Dialect
from modelmux.dialects.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES
from modelmux.wire.http import Headers

#: Stands for the key in what is shown.
KEY_VARIABLE: Final = "MODELMUX_KEY"


@dataclass(frozen=True)
class Api:
    """
    :param title: for people.
    :param key_header: name of the header of a key, and what comes before the key in it.
    :param body: the body of a request, a stream asked for.
    """

    name: str
    title: str
    path: str
    dialect: Dialect
    key_header: tuple[str, str]
    body: Callable[[Question], dict[str, Any]]
    read: Reader
    headers: tuple[tuple[str, str], ...] = ()

    def call_headers(self, key: str) -> Headers:
        """:param key: empty for none."""
        name, before = self.key_header
        sent = [(name, before + key)] if key else []
        return [(one.encode(), value.encode()) for one, value in (*sent, *self.headers, *_JSON)]

    def curl(self, url: str, question: Question) -> str:
        """The request as a command, with a variable where the key is. :param url: of the gateway."""
        name, before = self.key_header
        lines = [f"curl -N {shlex.quote(url + self.path)}", f'-H "{name}: {before}${KEY_VARIABLE}"']
        lines += [f"-H {shlex.quote(f'{header}: {value}')}" for header, value in (*self.headers, *_JSON)]
        lines.append(f"-d {shlex.quote(msgspec.json.encode(self.body(question)).decode())}")
        return " \\\n  ".join(lines)


_JSON: Final = (("content-type", "application/json"),)
_BEARER: Final = ("authorization", "Bearer ")


def _chat(question: Question) -> dict[str, Any]:
    system = [{"role": "system", "content": question.system}] if question.system else []
    return {
        "model": question.model,
        "messages": [*system, {"role": "user", "content": question.message}],
        "max_completion_tokens": question.max_tokens,
        **_present(temperature=question.temperature, reasoning_effort=question.effort),
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _responses(question: Question) -> dict[str, Any]:
    reasoning = {"effort": question.effort, "summary": "auto"} if question.effort else None
    return {
        "model": question.model,
        **_present(instructions=question.system or None),
        "input": question.message,
        "max_output_tokens": question.max_tokens,
        **_present(temperature=question.temperature, reasoning=reasoning),
        "store": False,
        "stream": True,
    }


def _messages(question: Question) -> dict[str, Any]:
    effort = {"effort": question.effort} if question.effort else None
    return {
        "model": question.model,
        "max_tokens": question.max_tokens,
        **_present(system=question.system or None),
        "messages": [{"role": "user", "content": question.message}],
        **_present(temperature=question.temperature, output_config=effort),
        "stream": True,
    }


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


APIS: Final[Mapping[str, Api]] = {
    one.name: one
    for one in (
        Api("chat", "Chat Completions", "/v1/chat/completions", OPENAI_CHAT, _BEARER, _chat, read_chat),
        Api("responses", "Responses", "/v1/responses", OPENAI_RESPONSES, _BEARER, _responses, read_responses),
        Api(
            "messages", "Messages", "/v1/messages", ANTHROPIC_MESSAGES, ("x-api-key", ""), _messages,
            read_messages, (("anthropic-version", "2023-06-01"),),
        ),
    )
}  # fmt: skip
