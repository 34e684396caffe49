"""Risk: ``modelmux connect`` prints settings that do not work for this gateway, or a secret."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelmux.cli.connect.gateway_url import BadUrl, configured_url, parse_url
from modelmux.cli.connect.table import Client, clients
from modelmux.config import Config
from support.cli import CommandResult, check_snapshot, run
from support.stub_gateway import as_json, stub_gateway

KEY = "sk-canary-key-111"
VERTEX = {"VERTEX_PROJECT": "canary-project-444", "VERTEX_LOCATION": "global"}
DOCS = Path(__file__).resolve().parents[4] / "docs" / "clients"
ALL = [pytest.param(client, id=f"{client.name}-{client.api}") for client in clients().client]


def connect(home: Path, *arguments: str, **variables: str) -> CommandResult:
    return run("connect", *arguments, home=home, **(VERTEX | variables))


def of(client: Client) -> tuple[str, ...]:
    return client.name, "--mode", client.api


def settings(home: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    result = connect(home, *arguments, "--json", **variables)
    assert result.code == 0, result.stderr
    printed: dict[str, Any] = json.loads(result.stdout)
    return printed


def parsed(content: str, format: str) -> Any:
    if format == "toml":
        return tomllib.loads(content)
    return json.loads(content) if format == "json" else yaml.safe_load(content)


@pytest.mark.parametrize("client", ALL)
def test_every_client_renders_and_no_secret_leaks(client: Client, tmp_path: Path) -> None:
    secrets = {"MODELMUX_API_KEYS": KEY, "MODELMUX_AUTH_ACCESS_TOKEN": "ya29.canary-token-222"}
    for more in ((), ("--json",)):
        result = connect(tmp_path, *of(client), *more, **secrets)
        assert result.code == 0, result.stderr
        output = result.stdout + result.stderr
        assert "canary" not in output
        assert "http://127.0.0.1:3000" in result.stdout
        assert "{{" not in result.stdout.replace("${{ secrets.", "")
    shown = connect(tmp_path, *of(client), "--show-key", **secrets)
    reference = connect(tmp_path, *of(client), **secrets).stdout
    by_reference = client.file is not None and not client.file.secret and not client.environment
    if by_reference:
        assert KEY not in shown.stdout, "its file refers to a variable"
    else:
        assert KEY in shown.stdout
        assert "MODELMUX_KEY" in reference or "YOUR_KEY" in reference


@pytest.mark.parametrize("client", ALL)
def test_what_is_printed_can_be_parsed(client: Client, tmp_path: Path) -> None:
    result = connect(tmp_path, *of(client))
    if client.language == "python":
        ast.parse(result.stdout)
    elif client.environment and client.file is None:
        for line in result.stdout.splitlines():
            words = shlex.split(line, comments=True)
            assert not words or (words[0] == "export" and "=" in words[1])
    if client.file is not None:
        assert parsed(settings(tmp_path, *of(client))["content"], client.file.format)


@pytest.mark.parametrize("client", ALL)
def test_names_with_quotes_cannot_break_out(client: Client, tmp_path: Path) -> None:
    name = 'a"b\\c $(touch x)'
    printed = settings(tmp_path, *of(client), "--model", name)
    text = printed.get("content", "")
    if text and client.file is not None:
        content = json.dumps(parsed(text, client.file.format))
        assert name in content or json.dumps(name)[1:-1] in content
    if client.language == "python":
        literals = [node.value for node in ast.walk(ast.parse(printed["code"])) if isinstance(node, ast.Constant)]
        assert any(isinstance(value, str) and value.endswith(name) for value in literals)
    exported = [line for line in connect(tmp_path, *of(client), "--model", name).stdout.splitlines() if "touch" in line]
    for line in exported:
        if line.startswith("export "):
            assert shlex.split(line)[1].partition("=")[2] == name


def test_every_entry_of_the_table_is_sound() -> None:
    table = clients()
    seen = set()
    for client in table.client:
        assert (client.name, client.api) not in seen
        seen.add((client.name, client.api))
        assert client.environment or client.code or client.fields or client.file
        assert (DOCS / client.page).exists(), client.page
        assert bool(client.code) == bool(client.language)
        assert client.api != "messages" or "anthropic-version" in client.headers
        if client.file is not None:
            assert bool(client.file.content) != bool(client.file.environment_key)


def test_claude_code_in_both_modes(tmp_path: Path) -> None:
    messages = settings(tmp_path, "claude-code", MODELMUX_API_KEYS=KEY)
    assert messages["environment"]["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:3000"
    assert messages["environment"]["ANTHROPIC_AUTH_TOKEN"] == "$MODELMUX_KEY"
    assert "ANTHROPIC_MODEL" not in messages["environment"]
    vertex = settings(tmp_path, "claude-code", "--mode", "vertex", "--model", "claude-opus-5-5[1m]")["environment"]
    assert vertex["CLAUDE_CODE_USE_VERTEX"] == vertex["CLAUDE_CODE_SKIP_VERTEX_AUTH"] == "1"
    assert vertex["ANTHROPIC_VERTEX_BASE_URL"] == "http://127.0.0.1:3000/v1"
    assert vertex["ANTHROPIC_MODEL"] == "claude-opus-5-5[1m]"
    assert "CLOUD_ML_REGION" in vertex
    assert "ANTHROPIC_VERTEX_PROJECT_ID" in vertex


def test_the_variables_of_the_other_mode_are_unset(tmp_path: Path) -> None:
    for mode, other in (("messages", "vertex"), ("vertex", "messages")):
        lines = connect(tmp_path, "claude-code", "--mode", mode).stdout.splitlines()
        (unset,) = (set(line.split()[1:]) for line in lines if line.startswith("unset "))
        assert unset == set(settings(tmp_path, "claude-code", "--mode", mode)["unset"])
        exported = set(settings(tmp_path, "claude-code", "--mode", mode)["environment"])
        assert exported.isdisjoint(unset)
        assert unset >= set(settings(tmp_path, "claude-code", "--mode", other)["environment"]) - exported
    assert "unset" not in connect(tmp_path, "goose").stdout, "its provider selects the mode"


def config_file(home: Path, text: str) -> None:
    path = home / ".config" / "modelmux" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


MODELS = """
[[vertex.models]]
name = "fast"
model = "claude-haiku-4-5@20251001"
[[vertex.models]]
name = "best"
model = "claude-opus-5-5"
"""


def test_names_are_those_of_the_configuration(tmp_path: Path) -> None:
    config_file(tmp_path, MODELS)
    assert settings(tmp_path, "openai-python")["model"] == "fast"
    assert settings(tmp_path, "cursor")["model"] == "fast"
    families = settings(tmp_path, "claude-code")["environment"]
    assert families["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "claude-haiku-4-5"
    assert families["ANTHROPIC_DEFAULT_OPUS_MODEL"] == "claude-opus-5-5"
    assert families["ANTHROPIC_DEFAULT_SONNET_MODEL"] == "claude-haiku-4-5", "no sonnet is configured"
    assert settings(tmp_path, "openai-python", "--model", "best")["model"] == "best"


def test_the_list_for_machines(tmp_path: Path) -> None:
    listed = json.loads(connect(tmp_path, "--json").stdout)
    assert {"client": "claude-code", "modes": ["messages", "vertex"], "title": "Claude Code"} in listed
    assert len(listed) == len(clients().names)


def test_warnings_about_names(tmp_path: Path) -> None:
    assert "gw-sonnet-5-5" in connect(tmp_path, "cursor").stderr
    chosen = connect(tmp_path, "cursor", "--model", "claude-opus-5-5")
    assert "use another name" in chosen.stderr
    assert "Did you mean 'claude-opus-5-5'?" in connect(tmp_path, "openai-python", "-m", "claude-opuss-5-5").stderr
    config_file(tmp_path, MODELS)
    assert "does not list fast" in connect(tmp_path, "claude-code", "--model", "fast").stderr


def test_the_limits_are_those_of_the_model(tmp_path: Path) -> None:
    config_file(tmp_path, MODELS)
    limits = json.loads(settings(tmp_path, "opencode")["content"])["provider"]["modelmux"]["models"]["fast"]["limit"]
    assert limits == {"context": 200_000, "output": 64_000}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::", "http://[::1]:3000"),
        ("::1", "http://[::1]:3000"),
        ("[::1]", "http://[::1]:3000"),
        ("fd00::5", "http://[fd00::5]:3000"),
        ("gateway.internal", "http://gateway.internal:3000"),
    ],
)
def test_the_configured_url(host: str, url: str) -> None:
    assert configured_url(Config.from_dict({"server": {"host": host}}).server).root == url


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("http://127.0.0.1:3000/", "http://127.0.0.1:3000"),
        ("https://gw.example.com", "https://gw.example.com"),
        ("https://gw.example.com:443/v1/", "https://gw.example.com"),
        ("https://gw.example.com/llm/v1", "https://gw.example.com/llm"),
        ("https://gw.example.com/v1/chat/completions", "https://gw.example.com"),
        ("https://gw.example.com/v1/messages", "https://gw.example.com"),
        ("https://gw.example.com/v1/responses", "https://gw.example.com"),
        ("http://[fd00::5]:8080/x", "http://[fd00::5]:8080/x"),
        (" HTTPS://GW.example.com ", "https://gw.example.com"),
    ],
)
def test_urls_of_the_command_line(text: str, root: str) -> None:
    assert parse_url(text).root == root


@pytest.mark.parametrize(
    "text",
    ["", "gateway:3000", "ftp://x", "http://", "http://u:p@x", "http://x?y=1", "http://x#y", "http://x:99999",
     "http://x/$(ls) y", 'http://x/"', "http://x/\x1b[2J"],
)  # fmt: skip
def test_bad_urls_are_rejected_with_a_remedy(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadUrl) as caught:
        parse_url(text)
    assert caught.value.hint
    assert "p@x" not in connect(tmp_path, "openai-js", "--url", text).stderr


def test_codex_gets_its_provider_and_the_file_with_the_models(tmp_path: Path) -> None:
    result = connect(tmp_path, "codex", "--model", "claude-opus-5-5", "--url", "https://gw.example.com/llm")
    content = tomllib.loads(result.stdout)
    assert (content["model"], content["model_catalog_json"]) == ("claude-opus-5-5", "modelmux-models.json")
    provider = content["model_providers"][content["model_provider"]]
    assert (provider["base_url"], provider["wire_api"]) == ("https://gw.example.com/llm/v1", "responses")
    assert provider["env_key"] == "MODELMUX_KEY"
    assert "modelmux codex-catalog -o ~/.codex/modelmux-models.json" in result.stderr
    assert "# in ~/.codex/config.toml:" in result.stdout
    refused = connect(tmp_path, "codex", "--write", "--yes")
    assert refused.code == 1
    assert not (tmp_path / ".codex").exists()


def test_paths_are_those_of_the_clients_own_variable(tmp_path: Path) -> None:
    folder = tmp_path / "my codex"
    result = connect(tmp_path, "codex", CODEX_HOME=str(folder))
    assert f"# in {folder}/config.toml:" in result.stdout
    assert f"modelmux codex-catalog -o '{folder}'/modelmux-models.json" in result.stderr
    assert (
        f"{folder}/config.toml does not exist" in connect(tmp_path, "codex", "--write", CODEX_HOME=str(folder)).stderr
    )
    assert ".codex" not in result.stdout + result.stderr


@pytest.mark.parametrize("client", [param for param in ALL if param.values[0].language])
def test_a_program_that_reads_the_variable_says_what_it_is(client: Client, tmp_path: Path) -> None:
    reference = connect(tmp_path, *of(client), MODELMUX_API_KEYS=KEY).stdout.splitlines()
    about = [line for line in reference if line.lstrip("#/ ").startswith("MODELMUX_KEY is a key of the gateway")]
    assert len(about) == 1
    assert about[0].startswith("# " if client.language == "python" else "// ")
    shown = connect(tmp_path, *of(client), "--show-key", MODELMUX_API_KEYS=KEY).stdout
    assert "MODELMUX_KEY" not in shown, "it holds the key"


def test_the_url_reaches_the_settings_and_the_configured_key_does_not(tmp_path: Path) -> None:
    printed = settings(tmp_path, "zed", "--url", "https://gw.example.com/llm", "--show-key", MODELMUX_API_KEYS=KEY)
    assert '"api_url": "https://gw.example.com/llm"' in printed["content"]
    assert KEY not in json.dumps(printed)
    assert printed["environment"] == {"MODELMUX_API_KEY": "$MODELMUX_KEY"}


def test_the_key_of_the_environment_and_of_the_option(tmp_path: Path) -> None:
    by_option = connect(tmp_path, "goose", "--api-key", "sk-option", "--show-key", MODELMUX_KEY="sk-variable")
    assert "export ANTHROPIC_API_KEY=sk-option\n" in by_option.stdout
    by_variable = connect(tmp_path, "goose", "--show-key", MODELMUX_KEY="sk-variable")
    assert "sk-variable" in by_variable.stdout
    assert by_variable.stderr.count("MODELMUX_KEY") == 0, "the variable is known, and no setting"
    second = connect(tmp_path, "goose", "--show-key", MODELMUX_KEY="sk-second", MODELMUX_API_KEYS=f"{KEY},sk-second")
    assert "ANTHROPIC_API_KEY=sk-second" in second.stdout, "any of the configured keys is one of them"
    assert "warning" not in second.stderr


@pytest.mark.parametrize("client", ["goose", "claude-code", "openai-python", "codex"])
def test_a_variable_left_over_from_another_gateway_is_warned_of(client: str, tmp_path: Path) -> None:
    """The demo says `export MODELMUX_KEY=unused`; the same terminal then has a gateway with keys."""
    keys = {"MODELMUX_API_KEYS": KEY, "MODELMUX_KEY": "unused"}
    printed = connect(tmp_path, client, **keys)
    assert "warning: MODELMUX_KEY is set, but not to one of server.api_keys" in printed.stderr
    assert "canary" not in printed.stdout + printed.stderr
    shown = connect(tmp_path, client, "--show-key", **keys)
    assert "warning: MODELMUX_KEY is set, but not to one of server.api_keys" in shown.stderr
    assert KEY in shown.stdout + shown.stderr
    assert "unused" not in shown.stdout + shown.stderr
    elsewhere = connect(tmp_path, client, "--url", "https://gw.example.com", **keys)
    assert "warning" not in elsewhere.stderr, "what another gateway accepts is not known here"


ACCOUNTS = ("--set", "accounts.enabled=true")


def test_a_virtual_key_is_not_taken_for_one_that_the_gateway_refuses(tmp_path: Path) -> None:
    keys = {"MODELMUX_API_KEYS": KEY, "MODELMUX_KEY": "sk-mmx-own"}
    shown = connect(tmp_path, "goose", "--show-key", *ACCOUNTS, **keys)
    assert "ANTHROPIC_API_KEY=sk-mmx-own" in shown.stdout
    assert "warning" not in shown.stderr
    assert KEY not in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ((), "a virtual key, or any word, such as unused, while there is none"),
        (("accounts.require_key=true",), "a virtual key, which `modelmux keys create` prints"),
        (("server.host=0.0.0.0",), "a virtual key, which `modelmux keys create` prints"),
        (("server.api_keys=sk-first",), "a virtual key, or one of server.api_keys"),
    ],
)
def test_a_gateway_with_accounts_is_not_said_to_need_no_key(more: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    printed = connect(tmp_path, "codex", *ACCOUNTS, *(part for each in more for part in ("--set", each)))
    assert f"the key is {kind}: set MODELMUX_KEY to it" in printed.stderr
    assert "needs no key" not in printed.stderr
    assert ("--show-key prints it" in printed.stderr) == ("server.api_keys=sk-first" in more)
    assert "needs no key" in connect(tmp_path, "codex").stderr


def test_where_settings_refer_to_the_variable_the_key_is_shown_for_it(tmp_path: Path) -> None:
    shown = connect(tmp_path, "codex", "--show-key", MODELMUX_API_KEYS="sk-a$b")
    assert "note: the settings refer to a variable: export MODELMUX_KEY='sk-a$b'" in shown.stderr


def test_nothing_is_said_of_a_variable_that_is_set(tmp_path: Path) -> None:
    for keys in ({}, {"MODELMUX_API_KEYS": KEY}):
        assert "MODELMUX_KEY" in connect(tmp_path, "codex", **keys).stderr
        assert "MODELMUX_KEY" not in connect(tmp_path, "codex", MODELMUX_KEY=KEY, **keys).stderr
    (tmp_path / ".env").write_text(f"MODELMUX_KEY={KEY}\n")
    assert "MODELMUX_KEY" in connect(tmp_path, "codex").stderr, "Codex does not read this file"
    assert "write it in place of YOUR_KEY" in connect(tmp_path, "aider", MODELMUX_KEY=KEY).stderr


def test_a_note_on_another_variable_is_for_those_who_set_it(tmp_path: Path) -> None:
    text = "ANTHROPIC_API_KEY must not be set as well"
    assert text in connect(tmp_path, "claude-code", ANTHROPIC_API_KEY="sk-ant").stderr
    assert text not in connect(tmp_path, "claude-code").stderr


def test_a_note_on_the_key_is_for_those_who_lack_it(tmp_path: Path) -> None:
    """The file that holds the key is not what is printed."""
    keys = {"MODELMUX_API_KEYS": KEY, "MODELMUX_KEY": KEY}
    assert "the key is" not in connect(tmp_path, "claude-code", **keys).stderr
    assert "the key is" in connect(tmp_path, "claude-code", MODELMUX_API_KEYS=KEY).stderr


def test_the_catalogue_of_codex_is_asked_for_where_it_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "codex"
    assert "modelmux codex-catalog -o" in connect(tmp_path, "codex", CODEX_HOME=str(folder)).stderr
    assert run("codex-catalog", "-o", str(folder / "modelmux-models.json"), home=tmp_path, **VERTEX).code == 0
    assert "codex-catalog" not in connect(tmp_path, "codex", CODEX_HOME=str(folder)).stderr


def test_a_missing_configuration_is_no_matter_where_a_gateway_answers(tmp_path: Path) -> None:
    for name, warned in (("modelmux", False), ("another", True)):
        with stub_gateway({"GET /": as_json({"name": name, "version": "2.0.0"})}) as stub:
            port = stub.url.rpartition(":")[2]
            for command in (("connect", "codex"), ("codex-catalog",)):
                result = run(*command, "--set", f"server.port={port}", home=tmp_path)
                assert ("no model is served yet" in result.stderr) == warned
                assert result.code == 0


def test_output(tmp_path: Path) -> None:
    check_snapshot(
        "connect",
        connect(tmp_path),
        connect(tmp_path, "claude-code", MODELMUX_API_KEYS=KEY),
        connect(tmp_path, "claude-code", "--mode", "vertex", "--url", "http://gw.lan:3000/llm/v1"),
        connect(tmp_path, "anthropic-python"),
        connect(tmp_path, "openai-js", MODELMUX_API_KEYS=KEY),
        connect(tmp_path, "continue", MODELMUX_API_KEYS=KEY),
        connect(tmp_path, "cursor", MODELMUX_API_KEYS=KEY),
        connect(tmp_path, "aider", "--set", "server.host=0.0.0.0", MODELMUX_API_KEYS=KEY),
        run("connect", "open-webui", "--set", "server.port=1", home=tmp_path),  # where no gateway answers
        connect(tmp_path, "aider", "--json", MODELMUX_API_KEYS=KEY),
        connect(tmp_path, "codex"),
        connect(tmp_path, "codex", "--show-key", MODELMUX_API_KEYS="sk-shown", MODELMUX_KEY="unused"),
        connect(tmp_path, "codex", "--write"),
        connect(tmp_path, "claude"),
        connect(tmp_path, "aider", "--mode", "vertex"),
        connect(tmp_path, "aider", "--set", "server.port=0"),
        connect(tmp_path, "aider", "--url", "gateway:3000"),
        connect(tmp_path, "aider", "--write", "--json"),
    )


def test_the_help_names_every_option(tmp_path: Path) -> None:
    text = run("connect", "--help", home=tmp_path).stdout
    assert set(re.findall(r"--[a-z-]+", text)) >= {
        "--mode", "--model", "--url", "--api-key", "--show-key", "--write", "--yes", "--check", "--json", "--config",
    }  # fmt: skip


def test_completion_offers_the_clients(tmp_path: Path) -> None:
    result = run(home=tmp_path, _MODELMUX_COMPLETE="bash_complete", COMP_WORDS="modelmux connect open", COMP_CWORD="2")
    assert {"plain,openai-python", "plain,opencode"} <= set(result.stdout.split())
