"""``config init`` and ``config edit``: never a broken, half or lost file; never a question to nobody."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pty
import re
import select
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelmux.catalog import builtin
from modelmux.cli import api_key
from modelmux.cli.config import atomic_write, gcloud, prompts
from modelmux.config import load
from support.cli import CommandResult, check_snapshot, environment, run, run_process

CONFIG = Path(".config/modelmux/config.toml")


def run_interactively(
    monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: str, input: str, **variables: str
) -> CommandResult:
    """A command with a person at the terminal."""
    monkeypatch.setattr(prompts, "interactive", lambda: True)
    return run(*arguments, home=home, input=input, **variables)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def key_file(home: Path) -> Path:
    file = home / "key.json"
    file.write_text('{"type": "service_account", "project_id": "from-key"}')
    return file


def gcloud_setup(home: Path) -> None:
    folder = home / ".config/gcloud"
    (folder / "configurations").mkdir(parents=True)
    (folder / "active_config").write_text("work\n")
    (folder / "configurations/config_work").write_text("[core]\naccount = a@b.c\nproject = from-gcloud\n")
    (folder / "configurations/config_default").write_text("[core]\nproject = other\n")


def test_by_options(tmp_path: Path) -> None:
    key_file(tmp_path)
    options = (
        "--project my-project --location eu --model fast=claude-haiku-4-5 --model claude-opus-5 --credentials key.json "
        "--api-key sk-1 --port 8080"
    )
    said = run("config", "init", "--yes", *options.split(), home=tmp_path)
    check_snapshot("config_init", said)
    file = tmp_path / CONFIG
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    config = load(file)
    assert (config.vertex.project, config.vertex.location, config.server.port) == ("my-project", "eu", 8080)
    assert [(m.name, m.model) for m in config.vertex.models] == [
        ("fast", "claude-haiku-4-5@20251001"),
        ("claude-opus-5", "claude-opus-5"),
    ]
    assert config.server.api_keys[0].reveal() == "sk-1"
    assert config.auth.service_account_file == str(tmp_path / "key.json")
    text = file.read_text().replace(str(tmp_path), "HOME")
    check_snapshot("config_init_file", CommandResult(("config", "init"), 0, text, "", tmp_path))


def test_what_gcloud_knows_is_enough(tmp_path: Path) -> None:
    gcloud_setup(tmp_path)
    assert run("config", "init", "--yes", home=tmp_path).code == 0
    config = load(tmp_path / CONFIG)
    assert (config.vertex.project, config.vertex.location, config.vertex.models) == ("from-gcloud", "global", [])


def test_it_refuses_what_could_not_work_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("[]")
    init = ("config", "init", "--yes", "--project", "p")
    check_snapshot(
        "config_init_refused",
        run("config", "init", home=tmp_path),
        run("config", "init", "--yes", home=tmp_path),
        run("config", "init", "--yes", "--project", "My Project", home=tmp_path),
        run(*init, "--location", "mars", home=tmp_path),
        run(*init, "--model", "claude-opus-55", home=tmp_path),
        run(*init, "--model", "a=claude-opus-5", "--model", "A=claude-opus-5", home=tmp_path),
        run(*init, "--credentials", "absent.json", home=tmp_path),
        run(*init, "--credentials", "no.json", home=tmp_path),
        run(*init, "--path", "/dev/null/x", home=tmp_path),
    )
    said = run(*init, "--model", "claude-opus-5", "--location", "us-east5", home=tmp_path)
    assert (said.code, said.stderr[:37]) == (1, "error: vertex.models 'claude-opus-5':")
    assert not (tmp_path / ".config").exists()
    assert run(*init, "--api-key", "x", "--generate-api-key", home=tmp_path).code == 2


def test_an_existing_file_stays_unless_forced_and_then_in_a_copy(tmp_path: Path) -> None:
    init = ("config", "init", "--yes", "--project", "p", "--path", "mine.toml")
    (tmp_path / "mine.toml").write_text("# mine\n")
    check_snapshot("config_init_again", run(*init, home=tmp_path), run(*init, "--force", home=tmp_path))
    assert (tmp_path / "mine.toml.bak").read_text() == "# mine\n"
    assert mode(tmp_path / "mine.toml.bak") == 0o600
    assert load(tmp_path / "mine.toml").vertex.project == "p"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.toml", "mine.toml.bak"]


def test_a_generated_key_is_shown_once_and_kept(tmp_path: Path) -> None:
    without = run("config", "init", "--yes", "--project", "p", "--path", "without.toml", home=tmp_path)
    assert "clients need no key" in without.stdout
    assert "--generate-api-key" in without.stdout
    said = run("config", "init", "--yes", "--project", "p", "--generate-api-key", home=tmp_path)
    assert "need no key" not in said.stdout
    shown = re.search(r"API key for your clients: (sk-modelmux-[0-9A-Za-z]{38})\n", said.stdout)
    assert shown
    assert load(tmp_path / CONFIG).server.api_keys[0].reveal() == shown[1]
    random, check = shown[1][12:44], shown[1][44:]
    assert api_key.checksum(random) == check
    assert api_key.new_key() != api_key.new_key()


def test_by_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcloud_setup(tmp_path)
    key_file(tmp_path)
    answers = "Bad Project\n\neu\n99\nclaude-opus-55\n1, claude-haiku-4-5\nabsent.json\n~/key.json\nn\n"
    said = run_interactively(monkeypatch, tmp_path, "config", "init", input=answers)
    shown = re.sub(r"(?m)^ +(\d+)  .*\n", "", said.stderr)  # the catalog's models
    check_snapshot("config_init_asked", dataclasses.replace(said, stderr=re.sub(r"1 to \d+", "1 to N", shown)))
    listed = dict(re.findall(r"(?m)^ +\d+  (\S+) *(.*)$", said.stderr))
    assert listed["claude-haiku-4-5"] == "may be retired already (from 2026-10-15 on); move to claude-haiku-5-5"
    assert listed["claude-opus-4"].startswith("was retired on 2026-09-14")
    assert listed["claude-sonnet-5-5"] == ""
    assert next(iter(listed)) == "claude-sonnet-5-5", "the everyday model"
    assert list(listed)[-1] in ("claude-opus-4", "claude-sonnet-4", "claude-3-5-haiku"), "retired ones are last"
    config = load(tmp_path / CONFIG)
    assert (config.vertex.project, config.vertex.location) == ("from-gcloud", "eu")
    assert [m.name for m in config.vertex.models] == [builtin().cards[0].base, "claude-haiku-4-5"]
    assert (config.auth.service_account_file, config.server.api_keys) == ("~/key.json", [])


def test_all_models_are_those_that_are_not_retired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_interactively(monkeypatch, tmp_path, "config", "init", input="my-project\n\nall\n\n\n")
    assert result.code == 0
    assert "Models to serve: numbers or names, or all that are not retired [all]" in result.stderr
    served = run("models", "--json", home=tmp_path).stdout
    assert '"claude-haiku-4-5"' in served
    assert '"claude-opus-4"' not in served
    assert re.search(r"(?m)^ +\d+  claude-opus-4 .*was retired on", result.stderr), "it is listed"
    assert "`modelmux doctor --live` checks the setup" in result.stdout.splitlines()[-1]


def test_no_is_the_answer_that_enter_gives_to_replacing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text("# mine\n")
    said = run_interactively(monkeypatch, tmp_path, "config", "init", "--path", "mine.toml", input="\n")
    assert said.code == 1
    assert (tmp_path / "mine.toml").read_text() == "# mine\n"


def test_the_end_of_the_answers_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_interactively(monkeypatch, tmp_path, "config", "init", input="my-project\n").code == 130
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "modelmux", "config", "init"],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment(tmp_path),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    end = time.monotonic() + 100
    while b"project" not in shown and time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            shown += os.read(ours, 1024)
    sent = 0
    try:
        while (
            process.poll() is None and time.monotonic() < end
        ):  # one that arrives just before the reading is not heard
            process.send_signal(signal.SIGINT)
            sent += 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        # A second one may end it while it exits.
        assert process.returncode == 130 or (sent > 1 and process.returncode == -signal.SIGINT)
    finally:
        process.kill()
        process.wait(100)
        os.close(ours)
    assert b"Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_nothing_waits(tmp_path: Path) -> None:
    said = run_process("config", "init", home=tmp_path, seconds=10)
    assert (said.code, said.stderr.splitlines()[0]) == (1, "error: cannot prompt: stdin and stderr are not a terminal")


def test_an_interrupted_write_keeps_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.toml"
    file.write_text("old")

    def interrupted(_number: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic_write.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic_write.write_private_file(file, "new", replace=True)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("c.toml", "old")]


def test_a_link_stays_a_link_and_no_file_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").write_text("old")
    (tmp_path / "c.toml").symlink_to(tmp_path / "dotfiles")
    with pytest.raises(FileExistsError):
        atomic_write.write_private_file(tmp_path / "c.toml", "new", replace=False)
    assert atomic_write.write_private_file(tmp_path / "c.toml", "new", replace=True) == tmp_path / "dotfiles.bak"
    assert (tmp_path / "c.toml").is_symlink()
    assert (tmp_path / "dotfiles").read_text() == "new"


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, ("from-gcloud", "gcloud's config_work")),
        ({"CLOUDSDK_ACTIVE_CONFIG_NAME": "default"}, ("other", "gcloud's config_default")),
        ({"CLOUDSDK_CORE_PROJECT": "c"}, ("c", "CLOUDSDK_CORE_PROJECT")),
        ({"VERTEX_PROJECT": "v", "CLOUDSDK_CORE_PROJECT": "c"}, ("v", "VERTEX_PROJECT")),
    ],
)
def test_which_project_is_suggested(tmp_path: Path, variables: dict[str, str], found: tuple[str, str]) -> None:
    gcloud_setup(tmp_path)
    assert gcloud.project({"HOME": str(tmp_path), **variables}) == found


def test_the_project_of_default_credentials_is_the_last_resort(tmp_path: Path) -> None:
    variables = {"CLOUDSDK_CONFIG": str(tmp_path)}
    assert gcloud.project(variables) is None
    (tmp_path / "application_default_credentials.json").write_text(json.dumps({"quota_project_id": "q"}))
    assert gcloud.project(variables) == ("q", str(tmp_path / "application_default_credentials.json"))
    (tmp_path / "application_default_credentials.json").write_text("not json")
    assert gcloud.project(variables) is None


def editor(home: Path, *lines: str) -> str:
    """An editor that takes an argument and appends lines, another one each time it is called."""
    script = home / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        f"lines = {lines!r}\n"
        "count = pathlib.Path(__file__).with_suffix('.count')\n"
        "n = int(count.read_text()) if count.exists() else 0\n"
        "count.write_text(str(n + 1))\n"
        "assert sys.argv[1] == '--wait'\n"
        "pathlib.Path(sys.argv[2]).write_text(lines[min(n, len(lines) - 1)])\n"
    )
    return f"'{sys.executable}' '{script}' --wait"


GOOD = "[vertex]\nproject = 'p'\nlocation = 'eu'\n"


def test_editing_begins_with_the_template_and_ends_with_a_check(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    command = editor(tmp_path, GOOD, "[vertx]\n")
    edit = ("config", "edit", "--config", "c.toml")
    check_snapshot(
        "config_edit",
        run(*edit, home=tmp_path / "home", VISUAL=command, EDITOR="false"),
        run(*edit, home=tmp_path / "home", EDITOR=command),
        run(*edit, home=tmp_path / "home", EDITOR="false"),
        run(*edit, home=tmp_path / "home", EDITOR="/no/such/editor"),
        run(*edit, home=tmp_path / "home", EDITOR="'"),
        run(*edit, home=tmp_path / "home", PATH=""),
    )
    assert mode(tmp_path / "home" / "c.toml") == 0o600


def test_the_template_is_what_the_editor_gets(tmp_path: Path) -> None:
    run("config", "edit", home=tmp_path, EDITOR="true")
    assert "#port = 3000" in (tmp_path / CONFIG).read_text()


def test_editing_again_until_it_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    command = editor(tmp_path, "[vertx]\n", GOOD)
    said = run_interactively(monkeypatch, tmp_path / "home", "config", "edit", input="y\n", EDITOR=command)
    assert (said.code, "Edit it again?" in said.stderr) == (0, True)
    said = run_interactively(
        monkeypatch, tmp_path / "home", "config", "edit", input="n\n", EDITOR=editor(tmp_path, "[x]\n")
    )
    assert said.code == 1


def test_ctrl_c_in_the_editor_is_the_editor_s(tmp_path: Path) -> None:
    interrupt = "import os, pathlib, signal, sys; os.kill(os.getppid(), signal.SIGINT)"
    command = shlex.join([sys.executable, "-c", f"{interrupt}; pathlib.Path(sys.argv[1]).write_text({GOOD!r})"])
    said = run_process("config", "edit", "--config", "c.toml", home=tmp_path, EDITOR=command)
    assert (said.code, said.stdout) == (0, "valid: c.toml\n")
