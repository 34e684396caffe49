"""Risk: ``--write`` loses something of a client's settings file, writes half of it, or shows the key."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelmux.cli.config import prompts
from modelmux.cli.connect.settings_file import CannotMerge, merge_json, merge_yaml
from modelmux.cli.connect.table import clients
from modelmux.cli.connect.write import difference
from support.cli import CommandResult, run

KEY = "sk-canary-key-111"
CLAUDE = ".claude/settings.json"


def write(home: Path, *arguments: str, **variables: str) -> CommandResult:
    return run("connect", *arguments, "--write", "--yes", home=home, VERTEX_PROJECT="p", VERTEX_LOCATION="global",
               **({"MODELMUX_API_KEYS": KEY} | variables))  # fmt: skip


def put(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    "client",
    [pytest.param(c, id=f"{c.name}-{c.api}") for c in clients().client if c.file is not None and not c.file.write],
)
def test_every_file_is_written_once(client: Any, tmp_path: Path) -> None:
    first = write(tmp_path, client.name, "--mode", client.api)
    assert first.code == 0, first.stderr
    path = tmp_path / client.file.path.removeprefix("~/")
    text = path.read_text()
    assert json.loads(text) if client.file.format == "json" else yaml.safe_load(text)
    assert mode(path) == 0o600
    assert (KEY in text) == client.file.secret
    assert KEY not in first.stdout + first.stderr
    second = write(tmp_path, client.name, "--mode", client.api)
    assert "has these settings already" in second.stdout
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path], "no backup, no temporary file"


def test_claude_code_keeps_everything_else(tmp_path: Path) -> None:
    before = {
        "model": "opus",
        "env": {"FOO": "1", "OTHER_API_KEY": "sk-other", "ANTHROPIC_BASE_URL": "https://old"},
        "hooks": {"Stop": []},
    }
    path = put(tmp_path / CLAUDE, json.dumps(before, indent=4))
    result = write(tmp_path, "claude-code")
    assert result.code == 0
    after = json.loads(path.read_text())
    assert list(after) == ["model", "env", "hooks"]
    assert after["hooks"] == {"Stop": []}
    assert after["env"]["FOO"] == "1"
    assert after["env"]["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:3000"
    assert after["env"]["ANTHROPIC_AUTH_TOKEN"] == KEY
    assert path.read_text().splitlines()[1].startswith('    "'), "the indentation stays"
    assert json.loads((tmp_path / f"{CLAUDE}.bak").read_text()) == before
    assert mode(path) == mode(tmp_path / f"{CLAUDE}.bak") == 0o600, "it holds a key now"
    assert "-    " in result.stderr
    assert '"ANTHROPIC_AUTH_TOKEN": "***"' in result.stderr
    assert "sk-other" not in result.stderr
    assert after["env"]["OTHER_API_KEY"] == "sk-other"


def test_the_other_mode_of_claude_code_is_removed(tmp_path: Path) -> None:
    """A variable of the other mode that remains keeps Claude Code in that mode."""
    put(tmp_path / CLAUDE, '{"env": {"FOO": "1"}}')
    keys: dict[str, set[str]] = {}
    for mode in ("messages", "vertex", "messages", "vertex"):
        result = write(tmp_path, "claude-code", "--mode", mode)
        assert result.code == 0
        environment = json.loads((tmp_path / CLAUDE).read_text())["env"]
        assert keys.setdefault(mode, set(environment)) == set(environment)
        assert environment["FOO"] == "1"
    assert '-    "ANTHROPIC_BASE_URL": ' in result.stderr
    assert {"CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_SKIP_VERTEX_AUTH", "ANTHROPIC_VERTEX_BASE_URL"} <= keys["vertex"]
    assert not any("VERTEX" in key or key == "CLOUD_ML_REGION" for key in keys["messages"])
    assert "ANTHROPIC_BASE_URL" not in keys["vertex"]


def test_a_changed_key_is_not_shown_with_the_old_lines(tmp_path: Path) -> None:
    write(tmp_path, "claude-code")
    result = write(tmp_path, "claude-code", MODELMUX_API_KEYS="sk-new")
    assert "sk-new" not in result.stdout + result.stderr
    assert KEY not in result.stdout + result.stderr
    assert "sk-new" in (tmp_path / CLAUDE).read_text()


def test_a_key_that_the_gateway_refuses_is_not_written(tmp_path: Path) -> None:
    refused = write(tmp_path, "claude-code", MODELMUX_KEY="unused")
    assert refused.code == 1
    assert "not to one of server.api_keys; nothing was written" in refused.stderr
    assert "unset MODELMUX_KEY" in refused.stderr
    assert not (tmp_path / CLAUDE).exists()
    assert write(tmp_path, "claude-code", "--api-key", "sk-next", MODELMUX_KEY="unused").code == 0
    assert json.loads((tmp_path / CLAUDE).read_text())["env"]["ANTHROPIC_AUTH_TOKEN"] == "sk-next"
    by_reference = write(tmp_path, "opencode", MODELMUX_KEY="unused")
    assert by_reference.code == 0, "its file refers to the variable"
    assert "warning: MODELMUX_KEY is set, but not to one of server.api_keys" in by_reference.stderr


def test_the_difference_masks_values_and_nothing_else(tmp_path: Path) -> None:
    before = {"env": {"OTHER_TOKEN": 'sk-"other', "FOO": "1", "MY_KEY": "${MODELMUX_KEY}"}}
    put(tmp_path / CLAUDE, json.dumps(before, indent=2))
    shown = [line[1:].strip() for line in write(tmp_path, "claude-code").stderr.splitlines()]
    assert '"OTHER_TOKEN": "***",' in shown, "with its comma"
    assert '"MY_KEY": "${MODELMUX_KEY}"' in shown, "before"
    assert '"MY_KEY": "${MODELMUX_KEY}",' in shown, "after"


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ('{"apiKey": "sk-a", "url": "u", "token": "sk-b"}', '{"apiKey": "***", "url": "u", "token": "***"}'),
        ('{"token": "sk-a", "apiKey": "{env:MODELMUX_KEY}"}', '{"token": "***", "apiKey": "{env:MODELMUX_KEY}"}'),
        ("{token: sk-a, apiKey: $MODELMUX_KEY}", '{token: "***"'),
        ("api-key: sk-a # sk-old", 'api-key: "***"'),
        ('password: "a" "b"', 'password: "***"'),
        ('"headers": {"x": "sk-a"},', '"headers": "***",'),
        ('"Authorization": "Bearer sk-a",', '"Authorization": "***",'),
        ('"max_tokens": 5, "keys": 3', '"max_tokens": 5, "keys": 3'),
    ],
)
def test_secrets_in_one_line(line: str, masked: str, tmp_path: Path) -> None:
    (_, _, _, shown) = difference(tmp_path / "f", "", line, None)
    assert shown == f"+{masked}"


def test_another_directory_of_claude_code(tmp_path: Path) -> None:
    assert write(tmp_path, "claude-code", CLAUDE_CONFIG_DIR=str(tmp_path / "other")).code == 0
    assert (tmp_path / "other" / "settings.json").exists()
    assert not (tmp_path / CLAUDE).exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"env": ', "not valid JSON"),
        ('{"a": 1, // comment\n}', "not valid JSON"),
        ('{"a": 1, "a": 2}', "a key is repeated"),
        ("[]", "something else where an object is expected"),
        ('{"env": []}', "something else where an object is expected"),
    ],
)
def test_a_file_that_cannot_be_merged_is_left_alone(tmp_path: Path, text: str, problem: str) -> None:
    path = put(tmp_path / CLAUDE, text)
    result = write(tmp_path, "claude-code")
    assert result.code == 1
    assert problem in result.stderr
    assert "\nhint: " in result.stderr
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_a_file_of_other_bytes_is_left_alone(tmp_path: Path) -> None:
    path = put(tmp_path / CLAUDE, "")
    path.write_bytes(b"\xff\xfe{}")
    assert "not UTF-8" in write(tmp_path, "claude-code").stderr
    assert path.read_bytes() == b"\xff\xfe{}"


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    target = put(tmp_path / "dotfiles" / "settings.json", '{"model": "opus"}')
    (tmp_path / ".claude").mkdir()
    (tmp_path / CLAUDE).symlink_to(target)
    assert write(tmp_path, "claude-code").code == 0
    assert (tmp_path / CLAUDE).is_symlink()
    assert json.loads(target.read_text())["model"] == "opus"
    assert (tmp_path / "dotfiles" / "settings.json.bak").exists()


def test_permissions_of_a_file_without_a_key_stay(tmp_path: Path) -> None:
    path = put(tmp_path / ".config/opencode/opencode.json", '{"theme": "x"}', 0o644)
    assert write(tmp_path, "opencode").code == 0
    assert mode(path) == 0o644
    assert json.loads(path.read_text())["theme"] == "x"


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir(mode=0o500)
    result = write(tmp_path, "claude-code")
    assert result.code == 1
    assert "hint: Check the permissions" in result.stderr


def test_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    put(tmp_path / ".claude", "")
    result = write(tmp_path, "claude-code")
    assert result.code == 1
    assert "\nhint: " in result.stderr


def test_it_asks_and_takes_no_for_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("connect", "aider", "--write")
    variables = {"VERTEX_PROJECT": "p", "VERTEX_LOCATION": "global", "MODELMUX_API_KEYS": KEY}
    refused = run(*arguments, home=tmp_path, **variables)
    assert refused.code == 1
    assert "--write --yes" in refused.stderr
    monkeypatch.setattr(prompts, "interactive", lambda: True)
    assert run(*arguments, home=tmp_path, input="n\n", **variables).code == 1
    assert not (tmp_path / ".aider.conf.yml").exists()
    assert run(*arguments, home=tmp_path, input="\n", **variables).code == 0
    assert (tmp_path / ".aider.conf.yml").exists()


def test_a_file_that_changes_while_it_asks_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / CLAUDE, "{}")
    monkeypatch.setattr(prompts, "interactive", lambda: True)

    def changed(*_: object, **__: object) -> bool:
        path.write_text('{"model": "new"}')
        return True

    monkeypatch.setattr("click.confirm", changed)
    result = run("connect", "claude-code", "--write", home=tmp_path, VERTEX_PROJECT="p", VERTEX_LOCATION="global")
    assert result.code == 1
    assert "has changed meanwhile" in result.stderr
    assert path.read_text() == '{"model": "new"}'


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    for client, reason in (("cursor", "no settings file"), ("zed", "does not exist"), ("librechat", "not known")):
        result = write(tmp_path, client)
        assert result.code == 1
        assert reason in result.stderr
        assert "\nhint: " in result.stderr
    unknown_key = write(tmp_path, "claude-code", "--url", "https://gw.example.com")
    assert "the key, which is not known here" in unknown_key.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_exist_holds_no_comments(tmp_path: Path) -> None:
    for folder, named in ((".codex", "~/.codex"), ("my codex", f"'{tmp_path}/my codex'")):
        own = {} if folder == ".codex" else {"CODEX_HOME": str(tmp_path / folder)}
        result = write(tmp_path, "codex", MODELMUX_KEY="stale", **own)
        assert result.code == 1
        assert "config.toml does not exist, and --write does not create it" in result.stderr
        assert "comments" not in result.stderr
        assert f"modelmux connect codex > {named}" in result.stderr.replace("/config.toml'", "'")
        assert "warning: MODELMUX_KEY is set, but not to one of server.api_keys" in result.stderr
        put(tmp_path / folder / "config.toml", "# mine\n")
        assert "holds your comments" in write(tmp_path, "codex", **own).stderr


def test_a_gateway_without_keys_gets_a_word_in_place_of_one(tmp_path: Path) -> None:
    assert write(tmp_path, "claude-code", MODELMUX_API_KEYS="").code == 0
    assert json.loads((tmp_path / CLAUDE).read_text())["env"]["ANTHROPIC_AUTH_TOKEN"] == "unused"


AIDER = "# mine\nmodel: gpt-4  # old\nauto-commits: false\n"


def test_yaml_keeps_comments_and_order(tmp_path: Path) -> None:
    path = put(tmp_path / ".aider.conf.yml", AIDER)
    assert write(tmp_path, "aider").code == 0
    assert path.read_text() == (
        '# mine\nmodel: "openai/claude-sonnet-5-5"  # old\nauto-commits: false\n'
        f'openai-api-base: "http://127.0.0.1:3000/v1"\nopenai-api-key: "{KEY}"\n'
    )


ENTRY = {"name": "ModelMux", "model": "m", "roles": ["chat"]}
TEXT = '  - name: "ModelMux"\n    model: "m"\n    roles: ["chat"]\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"models:\n{TEXT}"),
        ("# only a comment", f"# only a comment\nmodels:\n{TEXT}"),
        ("name: x", f"name: x\nmodels:\n{TEXT}"),
        (
            "models:\n  - name: a # first\n    model: b # last\n\n# end\nrules: []\n",
            f"models:\n  - name: a # first\n    model: b # last\n{TEXT}\n# end\nrules: []\n",
        ),
        ("models:\n- name: a\n", 'models:\n- name: a\n- name: "ModelMux"\n  model: "m"\n  roles: ["chat"]\n'),
        ("models:\n  - name: a\n    x: |\n      text\nz: 1\n",
         f"models:\n  - name: a\n    x: |\n      text\n{TEXT}z: 1\n"),
        (
            "models:\n  - name: ModelMux\n    model: old\n    y: 1\n  # next\n  - name: a\n",
            f"models:\n{TEXT}  # next\n  - name: a\n",
        ),
        (f"models:\n{TEXT}", f"models:\n{TEXT}"),
        ("models:\n  - name: a", f"models:\n  - name: a\n{TEXT}"),
    ],
)  # fmt: skip
def test_an_entry_of_a_yaml_list(before: str, after: str) -> None:
    assert merge_yaml(before, {"models": [ENTRY]}) == after
    assert merge_yaml(after, {"models": [ENTRY]}) == after


@pytest.mark.parametrize(
    "text",
    [
        "models: [{name: a}]\n",
        "models: []\n",
        "models: x\n",
        "- a\n",
        "a: [\n",
        "a: 1\n---\nb: 2\n",
        "a: &x 1\nmodels: *x\n",
    ],
)
def test_yaml_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(CannotMerge) as caught:
        merge_yaml(text, {"models": [ENTRY]})
    assert caught.value.hint


def test_keys_to_keep_are_only_added() -> None:
    assert merge_yaml("name: mine\n", {"name": "x", "schema": "v1"}, ("name", "schema")) == 'name: mine\nschema: "v1"\n'


def test_json_that_has_the_settings_is_not_rewritten() -> None:
    text = '{"b":1,"env":{"A":"1"}}'
    assert merge_json(text, {"env": {"A": "1"}}) is text
    assert merge_json("", {"a": 1}) == '{\n  "a": 1\n}\n'
    assert merge_json('\ufeff{\n\t"ü": 1\n}', {"a": 1}) == '{\n\t"ü": 1,\n\t"a": 1\n}\n'
