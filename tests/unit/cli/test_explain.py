"""``modelmux explain``: URL, body, notices and the prefix, without a call."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from modelmux.cli.explain.dialect import guess_dialect
from modelmux.cli.main import main
from support.cli import environment, run

FIRST: dict[str, Any] = {
    "model": "claude-opus-5",
    "temperature": 0.5,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
}
ANSWERED = [*FIRST["messages"], {"role": "assistant", "content": "yo"}, {"role": "user", "content": "more"}]


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the person who runs the tests."""
    monkeypatch.setattr(os, "environ", environment(tmp_path))
    monkeypatch.chdir(tmp_path)


def explain(folder: Path, first: Any, second: Any = None) -> tuple[int, str]:
    (folder / "1.json").write_text(json.dumps(first))
    (folder / "2.json").write_text(json.dumps(second))
    more = ["--turn2", str(folder / "2.json")] if second is not None else []
    result = CliRunner().invoke(main, ["explain", str(folder / "1.json"), *more])
    return result.exit_code, result.output


def test_it_shows_url_body_and_notices(tmp_path: Path) -> None:
    code, output = explain(tmp_path, FIRST)
    assert code == 0
    assert output.startswith("POST https://aiplatform.googleapis.com/v1/projects/PROJECT/locations/global/")
    assert "claude-opus-5:streamRawPredict" in output
    assert '"text": "Be brief."' in output
    assert "dropped temperature: " in output


def test_it_shows_the_call_that_a_gateway_makes(tmp_path: Path) -> None:
    """A reply that may be long is streamed from Vertex AI, whatever the client asked for."""
    for fields, streamed in [({}, True), ({"max_tokens": 100}, False), ({"max_tokens": 100, "stream": True}, True)]:
        _, output = explain(tmp_path, FIRST | fields)
        assert ("claude-opus-5:streamRawPredict" in output, '"stream": true' in output) == (streamed, streamed)
        assert ("claude-opus-5:rawPredict" in output) is not streamed


def test_what_stands_at_urls_is_told_and_not_fetched(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    file = {"type": "file", "file": {"file_data": "https://example.com/a.pdf", "filename": "a.pdf"}}
    code, output = explain(tmp_path, FIRST | {"messages": [{"role": "user", "content": [image, file]}]})
    assert code == 0, output
    assert output.index('"type": "image"') < output.index("<fetched from https://example.com/a.png>")
    assert output.index('"type": "document"') < output.index("<fetched from https://example.com/a.pdf>")


def test_it_says_whether_the_second_turn_extends_the_first(tmp_path: Path) -> None:
    code, output = explain(tmp_path, FIRST, FIRST | {"messages": ANSWERED})
    assert (code, "turn 1 is a prefix of turn 2" in output) == (0, True)
    changed = [{"role": "system", "content": "It is Tuesday."}, *ANSWERED[1:]]
    code, output = explain(tmp_path, FIRST, FIRST | {"messages": changed})
    assert code == 1
    assert "turn 1 is not a prefix of turn 2" in output
    assert "It is Tuesday." in output


def test_a_refused_request_names_the_field(tmp_path: Path) -> None:
    code, output = explain(tmp_path, FIRST | {"n": 2})
    assert code == 1
    assert "400 (n)" in output
    assert "hint:" in output
    assert CliRunner().invoke(main, ["explain", str(tmp_path / "absent.json")]).exit_code == 1


TWO_MODELS = """
[vertex]
project = "p"
location = "global"

[[vertex.models]]
name = "smart"
model = "{model}"
locations = ["eu", "us"]
fallbacks = {fallbacks}
"""


def explain_route(folder: Path, model: str, fallbacks: list[str], **fields: Any) -> str:
    (folder / "c.toml").write_text(TWO_MODELS.format(model=model, fallbacks=json.dumps(fallbacks)))
    (folder / "r.json").write_text(json.dumps(FIRST | {"model": "smart"} | fields))
    result = CliRunner().invoke(main, ["explain", str(folder / "r.json"), "--config", str(folder / "c.toml")])
    assert result.exit_code == 0, result.output
    return result.output


def calls(output: str) -> list[str]:
    return [line.rpartition("/locations/")[2] for line in output.splitlines() if line.startswith("POST ")]


def test_each_model_of_a_name_has_its_urls_and_its_body(tmp_path: Path) -> None:
    output = explain_route(tmp_path, "claude-sonnet-4-6", ["claude-opus-5"], max_tokens=100)
    own, other = output.split("\n\nPOST ")
    anthropic = "publishers/anthropic/models"
    assert calls(own) == [f"{location}/{anthropic}/claude-sonnet-4-6:rawPredict" for location in ("eu", "us")]
    assert ('"temperature": 0.5' in own, "dropped temperature" in own) == (True, False)
    assert calls(f"POST {other}") == [f"global/{anthropic}/claude-opus-5:rawPredict"]
    assert ('"temperature"' in other, "dropped temperature" in other) == (False, True)


def test_models_with_the_same_body_share_it(tmp_path: Path) -> None:
    output = explain_route(tmp_path, "claude-opus-5", ["claude-opus-5-5"], max_tokens=100)
    assert (len(calls(output)), output.count('"messages"')) == (3, 1)


def test_a_model_that_cannot_answer_is_named_with_the_reason(tmp_path: Path) -> None:
    prefill = [*FIRST["messages"], {"role": "assistant", "content": "I"}]
    output = explain_route(tmp_path, "claude-haiku-4-5", ["claude-opus-5"], messages=prefill)
    assert len(calls(output)) == 2
    assert "\nclaude-opus-5 is skipped, because it cannot answer this request: " in output


MESSAGES: dict[str, Any] = {
    "model": "claude-opus-5",
    "max_tokens": 100,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "hi"}],
}


def explain_file(folder: Path, body: Any, *arguments: str) -> tuple[int, str]:
    (folder / "1.json").write_text(json.dumps(body))
    result = CliRunner().invoke(main, ["explain", str(folder / "1.json"), *arguments])
    return result.exit_code, result.output


def test_a_messages_request_is_not_explained_as_chat(tmp_path: Path) -> None:
    used = [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]
    plain = {key: value for key, value in MESSAGES.items() if key != "system"}
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    for body, arguments in [
        (MESSAGES, ()),
        (plain | {"anthropic_version": "vertex-2023-10-16"}, ()),
        (plain | {"messages": [{"role": "user", "content": used}]}, ()),
        (plain, ("--dialect", "messages")),
        (plain | {"messages": [{"role": "user", "content": [image]}]}, ("--dialect", "messages")),
    ]:
        code, output = explain_file(tmp_path, body, *arguments)
        assert code == 0, output
        assert "claude-opus-5:rawPredict\n" in output
        assert '"anthropic_version": "vertex-2023-10-16"' in output
        assert '"model"' not in output
        assert "notices:" in output
    assert "<fetched from https://example.com/a.png>" in output


CLAUDE_TOOL: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}
CLAUDE_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
#: Each decides, whatever else of Messages is in the request.
CHAT_MARKS: list[dict[str, Any]] = [
    {"tools": [CLAUDE_TOOL, CHAT_TOOL]},
    {"tool_choice": "auto"},
    {"response_format": {"type": "json_object"}},
    {"max_completion_tokens": 10},
    *(
        {"messages": [{"role": "user", "content": "hi"}, message]}
        for message in [
            {"role": "user", "content": [{"type": "image_url", "image_url": "https://example.com/a.png"}]},
            {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "input_audio"}, CLAUDE_IMAGE]},
            {"role": "tool", "tool_call_id": "c", "content": "x"},
            {"role": "developer", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": []},
        ]
    ),
]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (FIRST, "openai_chat"),
        (FIRST | {"tools": [{"type": "function", "function": {"name": "f"}}], "max_tokens": 1}, "openai_chat"),
        (FIRST | {"input": "x"}, "openai_chat"),
        ([], "openai_chat"),
        ({"messages": [1, {"content": [2]}], "tools": {}}, "openai_chat"),
        (MESSAGES, "anthropic_messages"),
        (FIRST | {"stop_sequences": ["x"]}, "anthropic_messages"),
        (FIRST | {"output_config": {"effort": "low"}}, "anthropic_messages"),
        (FIRST | {"tools": [{"name": "f", "input_schema": {}}]}, "anthropic_messages"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "anthropic_messages"),
        *((MESSAGES | mark, "openai_chat") for mark in CHAT_MARKS),
        *((FIRST | {"tools": [CLAUDE_TOOL]} | mark, "openai_chat") for mark in CHAT_MARKS if "tools" not in mark),
        (MESSAGES | {"tools": [CHAT_TOOL], "messages": [{"role": "user", "content": [CLAUDE_IMAGE]}]}, "openai_chat"),
        (MESSAGES | {"tool_choice": {"type": "auto"}, "tools": [CLAUDE_TOOL]}, "anthropic_messages"),
        ({"model": "m", "input": "x"}, "openai_responses"),
        ({"model": "m", "input": [{"role": "user", "content": "x"}], "tools": []}, "openai_responses"),
        ({"previous_response_id": "resp_1"}, "openai_responses"),
    ],
)
def test_the_dialect_is_guessed(body: Any, name: str) -> None:
    assert guess_dialect(json.dumps(body).encode()) == name
    assert guess_dialect(b"{") == "openai_chat"


def test_long_and_short_names_of_a_dialect(tmp_path: Path) -> None:
    for name in ("anthropic_messages", "messages"):
        assert explain_file(tmp_path, FIRST | {"max_tokens": 1}, "--dialect", name)[0] == 0
    for name in ("openai_chat", "chat"):
        _, output = explain_file(tmp_path, FIRST, "--dialect", name)
        assert "dropped temperature" in output
        assert "--dialect" not in output, "it was not guessed"
    assert "the request was read as openai_chat" in explain_file(tmp_path, FIRST)[1]


def test_a_mixed_request_is_explained_as_the_gateway_answers_it(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": "https://example.com/a.png"}
    for fields in ({"tools": [CLAUDE_TOOL], "messages": [{"role": "user", "content": [image]}]},
                   {"tools": [CHAT_TOOL], "messages": [{"role": "user", "content": [CLAUDE_IMAGE]}]}):  # fmt: skip
        code, output = explain_file(tmp_path, MESSAGES | fields)
        assert code == 0, output
        assert "the request was read as openai_chat" in output


def test_a_guess_is_told_before_an_error(tmp_path: Path) -> None:
    note = "the request was read as"
    for body, arguments, code in [
        (FIRST | {"n": 2}, (), 1),
        (MESSAGES | {"model": 1}, (), 1),
        (RESPONSES | {"input": 1}, (), 1),
        (FIRST, ("--beta", "x"), 2),
        (MESSAGES, ("--turn2", "x"), 2),
    ]:
        got, output = explain_file(tmp_path, body, *arguments)
        assert (got, 0 <= output.find(note) < output.index("error: ")) == (code, True), output
    assert note not in explain_file(tmp_path, FIRST | {"n": 2}, "--dialect", "chat")[1]


def test_what_strict_mode_refuses_is_refused(tmp_path: Path) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text('[vertex]\nproject = "p"\nlocation = "global"\n[server]\nstrict = true\n')
    config = ("--config", str(strict))
    native = MESSAGES | {"service_tier": "auto"}
    for body in (FIRST, native, RESPONSES):
        code, lenient = explain_file(tmp_path, body)
        assert (code, "notices:\n" in lenient) == (0, True), lenient
        for arguments in (config, ("--strict",), ("--set", "server.strict=true"), (*config, "--strict")):
            code, output = explain_file(tmp_path, body, *arguments)
            assert (code, "error: 400" in output, "Strict mode allows no changes." in output) == (1, True, True), output
        for arguments in ((*config, "--no-strict"), (*config, "--set", "server.strict=false"), ("--no-strict",)):
            assert explain_file(tmp_path, body, *arguments)[0] == 0
    assert explain_file(tmp_path, MESSAGES, *config)[0] == 0, "nothing of it is changed"


def test_settings_of_the_command_line_apply(tmp_path: Path) -> None:
    assert "/projects/mine/locations/global/" in explain_file(tmp_path, FIRST, "--set", "vertex.project=mine")[1]
    assert explain_file(tmp_path, FIRST, "--set", "vertex.projekt=mine")[0] == 1


def test_a_guess_names_the_other_dialects(tmp_path: Path) -> None:
    assert "; --dialect responses or --dialect messages changes that" in explain_file(tmp_path, FIRST)[1]
    assert "; --dialect chat or --dialect messages changes that" in explain_file(tmp_path, RESPONSES)[1]


@pytest.mark.parametrize("name", ["chat", "responses"])
def test_a_request_without_a_model_gets_that_of_the_option(tmp_path: Path, name: str) -> None:
    body = {**(FIRST if name == "chat" else RESPONSES)}
    arguments = ("--dialect", name, "--model", "claude-opus-5")
    expected = explain_file(tmp_path, body, "--dialect", name)[1]
    del body["model"]
    assert explain_file(tmp_path, body, *arguments) == (0, expected)
    for broken in ("{}", "{", "[]"):
        (tmp_path / "broken.json").write_text(broken)
        result = CliRunner().invoke(main, ["explain", str(tmp_path / "broken.json"), *arguments])
        assert (result.exit_code, "error: 400" in result.output) == (1, True), result.output


def test_a_request_in_stdin(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["explain", "-"], input=json.dumps(FIRST))
    assert (result.exit_code, result.output) == explain_file(tmp_path, FIRST)


def test_a_long_reply_is_streamed_for_a_client_that_wants_no_stream(tmp_path: Path) -> None:
    for fields, said in [({}, True), ({"max_tokens": 100}, False), ({"stream": True}, False)]:
        assert ("streamed from Vertex AI" in explain_file(tmp_path, FIRST | fields)[1]) is said


MESSAGES_ROUTE = {**MESSAGES, "model": "smart", "output_config": {"effort": "xhigh"}}


def test_each_model_of_a_name_has_its_own_bytes_of_a_messages_request(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(TWO_MODELS.format(model="claude-sonnet-4-6", fallbacks='["claude-opus-5"]'))
    code, output = explain_file(tmp_path, MESSAGES_ROUTE, "--config", str(tmp_path / "c.toml"))
    assert code == 0, output
    names = [call.rpartition("/")[2] for call in calls(output)]
    assert names == ["claude-sonnet-4-6:rawPredict", "claude-sonnet-4-6:rawPredict", "claude-opus-5:rawPredict"]


def test_betas_of_a_messages_request(tmp_path: Path) -> None:
    betas = ("--beta", "interleaved-thinking-2025-05-14", "--beta", "files-api-2025-04-14")
    code, output = explain_file(tmp_path, MESSAGES | {"stream": True}, *betas)
    assert code == 0, output
    assert "claude-opus-5:streamRawPredict" in output
    assert "files-api" not in output.partition("notices:")[0]
    assert "files-api" in output.partition("notices:")[2]


def test_options_of_the_other_dialect_are_refused(tmp_path: Path) -> None:
    for body, arguments in [(FIRST, ("--beta", "x")), (MESSAGES, ("--turn2", "x")),
                            (MESSAGES, ("--dialect", "chat", "--beta", "x"))]:  # fmt: skip
        code, output = explain_file(tmp_path, body, *arguments)
        assert code == 2
        assert "hint: " in output


RESPONSES: dict[str, Any] = {
    "model": "claude-opus-5",
    "instructions": "Be brief.",
    "input": [{"role": "user", "content": "hi"}],
    "tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}],
    "truncation": "auto",
}


def test_a_responses_request(tmp_path: Path) -> None:
    code, output = explain_file(tmp_path, RESPONSES)
    assert code == 0, output
    assert output.startswith("POST https://aiplatform.googleapis.com/v1/projects/PROJECT/locations/global/")
    assert '"name": "n__f"' in output
    assert '"text": "Be brief."' in output
    assert "truncation" in output.partition("notices:")[2]
    assert "the request was read as openai_responses" in output


def test_the_second_turn_of_a_responses_request(tmp_path: Path) -> None:
    more = [*RESPONSES["input"], {"role": "assistant", "content": "yo"}, {"role": "user", "content": "more"}]
    code, output = explain(tmp_path, RESPONSES, RESPONSES | {"input": more})
    assert (code, "turn 1 is a prefix of turn 2" in output) == (0, True)


def test_stored_items_are_named_and_not_looked_up(tmp_path: Path) -> None:
    items = [{"type": "item_reference", "id": id} for id in ("rs_1", "msg_1")] + [{"role": "user", "content": "more"}]
    code, output = explain_file(tmp_path, RESPONSES | {"input": items, "previous_response_id": "resp_0"})
    assert code == 0, output
    assert "<stored item msg_1>" in output
    assert "resp_0 comes first" in output
    assert "have placeholders, and reasoning none: rs_1, msg_1" in output
    assert "dropped input.0" in output


def test_settings_of_the_responses_api_apply(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    hosted = RESPONSES | {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}
    head = '[vertex]\nproject = "p"\nlocation = "global"\n[responses]\n'
    for settings, body, says in [
        ("", hosted, "needs a service that this gateway does not run"),
        ('hosted_tools = "drop"', hosted, "dropped tools.0"),
        ('store = "off"', RESPONSES | {"previous_response_id": "resp_0"}, "Responses are not stored here."),
    ]:
        config.write_text(head + settings)
        assert says in explain_file(tmp_path, body, "--config", str(config))[1]


def test_a_body_that_is_nested_without_end_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text('{"input":' + "[" * 100_000 + "]" * 100_000 + "}")
    result = CliRunner().invoke(main, ["explain", str(tmp_path / "1.json")])
    assert "nested too deeply" in result.output


def test_it_reads_the_configuration_like_every_other_command(tmp_path: Path) -> None:
    (tmp_path / ".config" / "modelmux").mkdir(parents=True)
    (tmp_path / ".config" / "modelmux" / "config.toml").write_text("[vertex]\nproject = 'mine'\nlocation = 'eu'\n")
    (tmp_path / "1.json").write_text(json.dumps(FIRST))
    assert "/v1/projects/mine/locations/eu/" in run("explain", "1.json", home=tmp_path).stdout
    said = run("explain", "1.json", home=tmp_path, VERTEX_PROJECT="other")
    assert "/v1/projects/other/locations/eu/" in said.stdout
    assert "/locations/global/" in run("explain", "1.json", "--set", "vertex.location=global", home=tmp_path).stdout
    said = run("explain", "1.json", "--config", "absent.toml", home=tmp_path)
    assert (said.code, "absent.toml: no such file" in said.stderr) == (1, True)


def test_a_named_file_without_a_project_is_an_error_and_no_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(json.dumps(FIRST))
    (tmp_path / "empty.toml").write_text("")
    said = run("explain", "1.json", "--config", "empty.toml", home=tmp_path)
    assert (said.code, "no Google Cloud project and location" in said.stderr) == (1, True)
    assert "/projects/PROJECT/locations/global/" in run("explain", "1.json", home=tmp_path).stdout
    assert "/projects/p/locations/global/" in run("explain", "1.json", home=tmp_path, VERTEX_PROJECT="p").stdout


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "The request body is empty."), (" \n", "The request body is empty."),
        ('{"model": ', "The request body is not valid JSON: Input data was truncated."),
        ("[]", "Invalid value for the request body: expected an object, got an array."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [[], ["--dialect", "messages"], ["--dialect", "responses"]], ids=str)
def test_what_is_not_a_request_is_an_error_without_a_guess(
    body: str, problem: str, more: list[str], tmp_path: Path
) -> None:
    expected = f"error: 400: {problem}\nhint: Pass the JSON body of a request, as the client sends it: an object.\n"
    by_stdin = run("explain", "-", *more, home=tmp_path, input=body)
    assert (by_stdin.code, by_stdin.stdout, by_stdin.stderr) == (1, "", expected)
    (tmp_path / "body.json").write_text(body)
    by_file = run("explain", "body.json", *more, home=tmp_path)
    assert (by_file.code, by_file.stdout, by_file.stderr) == (1, "", expected)


def test_a_second_turn_that_is_not_a_request(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(json.dumps(FIRST))
    (tmp_path / "2.json").write_text("[]")
    absent = run("explain", "1.json", "--turn2", "absent.json", home=tmp_path)
    assert (absent.code, absent.stdout) == (1, ""), "nothing is shown of half of a comparison"
    assert absent.stderr.startswith("error: absent.json: cannot be read: No such file or directory\nhint: ")
    wrong = run("explain", "1.json", "--turn2", "2.json", home=tmp_path)
    assert wrong.code == 1
    assert wrong.stderr.endswith("hint: Pass the JSON body of a request, as the client sends it: an object.\n")


def test_a_dash_is_stdin_once(tmp_path: Path) -> None:
    said = run("explain", "-", home=tmp_path, input=json.dumps(FIRST))
    assert (said.code, "claude-opus-5:streamRawPredict" in said.stdout) == (0, True)
    said = run("explain", "-", "--turn2", "-", home=tmp_path, input=json.dumps(FIRST))
    assert (said.code, "stdin cannot be both" in said.stderr) == (2, True)
