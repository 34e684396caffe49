"""Risk: the playground sends what the gateway refuses or changes, or shows a key or a command that does not work."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from modelmux.accounts.fields import FieldError
from modelmux.config import Config, build_routes
from modelmux.dashboard.playground.apis import APIS
from modelmux.dashboard.playground.gateway import PlaygroundGateway
from modelmux.dashboard.playground.question import MAX_TEXT, Question, read_key, read_question
from modelmux.gateway.explained.translated import dialect_options
from modelmux.wire.http import Origin
from support.clock import TODAY

FORM = {"api": "chat", "model": "claude-sonnet-4-6", "message": "Hi"}


def playground(*, strict: bool = False, **settings: Any) -> PlaygroundGateway:
    config = Config.from_dict({"vertex": {"project": "canary-project", "location": "global"}} | settings)
    return PlaygroundGateway(
        origin=Origin("http", "127.0.0.1", 9), url="https://models.example.com", strict=strict,
        routes=build_routes(config, config.build_catalog(), TODAY), options=dialect_options(config),
    )  # fmt: skip


@pytest.mark.parametrize("api", APIS)
def test_every_listed_model_takes_what_its_options_offer(api: str) -> None:
    """Strict: a request that has to be changed is a problem."""
    gateway = playground(strict=True)
    models = gateway.models()
    assert len(models) > 5
    for model in models:
        most = model["max_output"] // 2  # more than the thinking of every effort
        for effort in (None, *model["efforts"]):
            temperature = 0.5 if model["takes_temperature"] and effort is None else None
            question = Question(
                api=api, model=model["name"], message="Hi", system="Be brief.", max_tokens=most, effort=effort,
                temperature=temperature,
            )  # fmt: skip
            sent = gateway.sent(question)
            assert sent["problem"] is None, (model, effort, sent["problem"])
            body = json.loads(sent["calls"][0]["body"])
            assert body["max_tokens"] == most
            assert body.get("temperature") == temperature
            assert (body.get("output_config") or {}).get("effort") == effort or api != "messages"


def test_what_is_sent_upstream_is_shown_without_the_project() -> None:
    sent = playground().sent(Question(api="chat", model="claude-opus-5", message="Hi", temperature=0.5))
    (call,) = sent["calls"]
    assert json.loads(call["body"])["anthropic_version"] == "vertex-2023-10-16"
    assert [one["field"] for one in call["notices"]] == ["temperature"]
    assert "canary" not in json.dumps(sent)


def test_a_request_that_is_refused_says_why_and_is_shown_nevertheless() -> None:
    sent = playground().sent(Question(api="chat", model="claude-nothing", message="Hi"))
    assert "claude-nothing" in sent["problem"]
    assert json.loads(sent["request"])["messages"] == [{"role": "user", "content": "Hi"}]
    assert sent["calls"] == []


@pytest.mark.parametrize("api", APIS)
def test_the_command_has_a_variable_where_the_key_is_and_the_text_as_it_was(api: str) -> None:
    text = 'It\'s $HOME `id` "x" \\ \n€'
    words = shlex.split(playground().sent(Question(api=api, model="m", message=text))["curl"].replace("\\\n", ""))
    assert words[:2] == ["curl", "-N"]
    assert words[2].startswith("https://models.example.com/v1/")
    assert any(word.endswith("$MODELMUX_KEY") for word in words)
    assert text in _strings(json.loads(words[-1]))


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for part in parts for text in _strings(part)]


def test_a_form_is_read_as_it_was_written() -> None:
    question = read_question(
        FORM | {"system": " Be brief. ", "message": "a\r\nb", "max_tokens": "77", "temperature": "0", "effort": "low"},
        APIS,
    )
    assert question == Question(
        api="chat", model="claude-sonnet-4-6", message="a\nb", system=" Be brief. ", max_tokens=77, temperature=0.0,
        effort="low",
    )  # fmt: skip
    assert read_question(FORM, APIS) == Question(api="chat", model="claude-sonnet-4-6", message="Hi")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("api", "vertex"), ("api", ""), ("model", " "), ("message", " \n"), ("message", "x" * (MAX_TEXT + 1)),
        ("system", "x" * (MAX_TEXT + 1)), ("max_tokens", "0"), ("max_tokens", "1e3"), ("max_tokens", "9999999"),
        ("max_tokens", "٣"), ("temperature", "nan"), ("temperature", "2.1"), ("temperature", "warm"),
        ("effort", "little"),
    ],
)  # fmt: skip
def test_a_field_that_will_not_do_is_named(field: str, value: str) -> None:
    with pytest.raises(FieldError) as caught:
        read_question(FORM | {field: value}, APIS)
    assert caught.value.field == field


@pytest.mark.parametrize("key", ["two words", "a\r\nx-header: 1", "k" * 513, "schlüssel", "\x00"])
def test_a_key_that_cannot_be_a_header_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(FieldError) as caught:
        read_key({"key": key})
    assert key not in str(caught.value)
    assert read_key({"key": " sk-mmx-1 "}) == "sk-mmx-1"
    assert read_key({}) == ""


@pytest.mark.parametrize("api", APIS)
def test_without_a_key_none_is_sent(api: str) -> None:
    assert not any(b"sk" in value for _, value in APIS[api].call_headers(""))
    assert any(b"sk-1" in value for _, value in APIS[api].call_headers("sk-1"))
    assert len(APIS[api].call_headers("")) == len(APIS[api].call_headers("sk-1")) - 1
